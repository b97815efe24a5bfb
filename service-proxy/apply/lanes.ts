// The userspace lanes of a node, from the control process's side: workers, their plans, the word to
// the kernel that they live, what they count, and who asks for it.

import type { Clock } from "../../lib/clock/clock.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { collectGauge } from "../../lib/metrics/collected-series.ts";
import type { NodeMetrics } from "../../lib/metrics/node-metrics.ts";
import { proxySeries } from "../../lib/metrics/proxy-series.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { type NodeSettings, workerCount } from "../config/node-settings.ts";
import type { TappedRequest } from "../model/admin-protocol.ts";
import { ZONE_LABEL } from "../model/node-facts.ts";
import type { ProxyClient } from "../model/proxy-plan.ts";
import { serveAdmin } from "./admin-server.ts";
import { LaneApply } from "./lane-apply.ts";
import { type LaneHeartbeat, startLaneHeartbeat } from "./lane-heartbeat.ts";
import type { NftApply } from "./nft-apply.ts";
import { exposeProxyStats } from "./proxy-metrics.ts";
import { ProxyStats } from "./proxy-stats.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WorkerProcess } from "./worker-process.ts";

export interface LanesParts {
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly families: readonly Family[];
  readonly cpus: number;
  readonly store: KubeStore;
  readonly apply: NftApply;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: NodeMetrics;
  readonly hostAddresses: () => readonly string[];
}

export interface Lanes {
  readonly apply: LaneApply;
  /** After the signal: resolves when every worker has ended, with its last connection or in time. */
  close(): Promise<void>;
}

/** Workers start with the first Service that needs one. */
export function openLanes(parts: LanesParts, signal: AbortSignal): Lanes {
  const { settings, clock, log, metrics, families } = parts;
  const stats = new ProxyStats();
  exposeProxyStats(metrics.page, stats);
  collectGauge(metrics.page, proxySeries.workers, () => [{ labels: {}, value: pool.listening }]);
  const taps = new Map<number, (tapped: TappedRequest) => void>();
  // Called when workers speak, which is after all of this stands.
  const late: { heartbeat?: LaneHeartbeat; whole?: LaneApply } = {};
  const pool = new WorkerPool({
    count: workerCount(settings.proxy, parts.cpus),
    settings: {
      portInside: settings.proxy.insidePort,
      portOutside: settings.proxy.outsidePort,
      families,
      accessLogShare: settings.proxy.accessLogShare,
    },
    start: (listener) => new WorkerProcess(listener),
    wholePlan: () => late.whole?.whole() ?? NOTHING,
    onListening: () => late.heartbeat?.beat(),
    onTelemetry: (worker, telemetry) => stats.add(worker, telemetry, clock.monotonicMs()),
    onTapped: (id, tapped) => taps.get(id)?.(tapped),
    onEnded: (worker) => stats.removeWorker(worker),
    clock,
    random: parts.random,
    log,
  });
  const lanes = new LaneApply({ pool, clients: () => NO_CLIENTS, node: () => nodeOf(parts) });
  late.whole = lanes;
  const { apply } = parts;
  late.heartbeat = startLaneHeartbeat(
    { apply, families, clock, log, healthy: () => pool.healthy },
    signal,
  );
  const ended = late.heartbeat.ended;
  serveTools(parts, { pool, stats, taps }, signal);
  return {
    apply: lanes,
    close: async () => {
      await ended;
      pool.drain(settings.proxy.drainTimeoutMs);
      await pool.ended();
    },
  };
}

/** The socket that `top` and `tap` read. Without it everything else goes on. */
function serveTools(
  { settings, clock, log }: LanesParts,
  {
    pool,
    stats,
    taps,
  }: {
    readonly pool: WorkerPool;
    readonly stats: ProxyStats;
    readonly taps: Map<number, (tapped: TappedRequest) => void>;
  },
  signal: AbortSignal,
): void {
  const { adminSocket } = settings.proxy;
  if (adminSocket === undefined) return;
  let lastTap = 0;
  const parts = {
    stats,
    monotonicMs: () => clock.monotonicMs(),
    refresh: () => pool.refresh(),
    openTap: (filter: Parameters<WorkerPool["tap"]>[1], onRequest: (t: TappedRequest) => void) => {
      const id = ++lastTap;
      taps.set(id, onRequest);
      pool.tap(id, filter);
      return () => {
        taps.delete(id);
        pool.untap(id);
      };
    },
  };
  serveAdmin(adminSocket, parts, signal).catch((error: unknown) => {
    log.warn("no admin socket: top and tap cannot ask this node", { adminSocket, error });
  });
}

function nodeOf({ store, nodeName, hostAddresses }: LanesParts) {
  const zone = store.nodes.get(nodeName)?.labels[ZONE_LABEL];
  return { nodeName, hostAddresses: hostAddresses(), ...(zone === undefined ? {} : { zone }) };
}

const NO_CLIENTS: ReadonlyMap<string, ProxyClient> = new Map();
const NOTHING = { frontends: [], ports: [], groups: [], clients: [] };
