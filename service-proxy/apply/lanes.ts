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
import type { IdentityPart } from "../model/identity-part.ts";
import type { TappedRequest } from "../model/admin-protocol.ts";
import { ZONE_LABEL } from "../model/node-facts.ts";
import type { WorkerSettings } from "../model/worker-messages.ts";
import { makeClientReader } from "../plan/pod-clients.ts";
import { serveAdmin } from "./admin-server.ts";
import { LaneApply } from "./lane-apply.ts";
import { type LaneHeartbeat, startLaneHeartbeat, SUCCEEDED } from "./lane-heartbeat.ts";
import { type LaneLift, startLaneLift } from "./lane-lift.ts";
import type { NftApply } from "./nft-apply.ts";
import { exposeProxyStats } from "./proxy-metrics.ts";
import { ProxyStats } from "./proxy-stats.ts";
import type { Succession } from "./succession.ts";
import { WorkerPool } from "./worker-pool.ts";
import { WorkerProcess } from "./worker-process.ts";

/** Workers start in a fraction of this; a successor does not wait for one that cannot. */
const WORKERS_WITHIN_MS = 5_000;
/** Handshakes that began before the kernel was told. */
const ON_THEIR_WAY_MS = 500;
/** The kernel's last word that workers live lasts three seconds. */
const LAPSED_AFTER_MS = 3_500;

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
  readonly succession: Succession;
  readonly leave: Leave;
  /** Missing where identities are off. */
  readonly identity?: IdentityPart;
}

/**
 * How an agent ends that nobody takes over from: its workers drain first, and meanwhile it keeps
 * the rules up to date, since endpoints go on to come and go.
 */
export interface Leave {
  /** Aborts when the agent is told to end. */
  readonly signal: AbortSignal;
  /** How long connections may go on. */
  readonly limitMs: () => number;
  /** No worker runs any more. */
  readonly onDone: () => void;
}

export interface Lanes {
  readonly apply: LaneApply;
  /**
   * After the signal: gives the node up, to a successor if there is one. Resolves when every worker
   * has ended, with its last connection or in time.
   */
  close(): Promise<void>;
}

/** Workers start with the first Service that needs one. */
export function openLanes(parts: LanesParts, signal: AbortSignal): Lanes {
  const { clock, log, metrics, families, apply, succession, store, nodeName } = parts;
  const stats = new ProxyStats();
  exposeProxyStats(metrics.page, stats);
  collectGauge(metrics.page, proxySeries.workers, () => [{ labels: {}, value: pool.listening }]);
  const taps = new Map<number, (tapped: TappedRequest) => void>();
  // Called when workers speak, which is after all of this stands.
  const late: Late = {};
  const readClients = makeClientReader(nodeName);
  const pool = openPool(parts, { stats, taps, late });
  const lanes = new LaneApply({
    pool,
    clients: () => readClients(store.pods.values()),
    onInstalled: () => {
      // Not before: what an earlier run lifts stays lifted until the entry points are known.
      late.lift ??= startLaneLift({ apply, clock, log, entries }, signal);
      late.lift.refresh();
    },
    node: () => nodeOf(parts),
    settle: () => settle(pool, succession),
  });
  late.whole = lanes;
  // The heart outlives the signal: a successor's workers listen before it stops.
  const stopHeart = new AbortController();
  const heart = startLaneHeartbeat(
    { apply, families, clock, log, healthy: () => pool.healthy },
    stopHeart.signal,
  );
  late.heartbeat = heart;
  const entries = () => lanes.entries(parts.hostAddresses());
  const drainAlone = async (limitMs: number): Promise<void> => {
    stopHeart.abort();
    await heart.ended;
    await pool.drain(await lapse(parts, pool), limitMs);
    await pool.ended();
  };
  const { leave } = parts;
  const begin = (): void => void drainAlone(leave.limitMs()).then(leave.onDone);
  if (leave.signal.aborted) begin();
  else leave.signal.addEventListener("abort", begin, { once: true });
  const tools = serveTools(parts, { pool, stats, taps }, signal);
  return {
    apply: lanes,
    close: async () => {
      await tools;
      await late.lift?.ended;
      const end = await succession.resign();
      if (end === "alone") return drainAlone(leave.limitMs());
      stopHeart.abort(SUCCEEDED);
      await heart.ended;
      await pool.drain(0, leave.limitMs());
      succession.farewell();
      await pool.ended();
    },
  };
}

/** What stands before any worker speaks. */
interface Late {
  heartbeat?: LaneHeartbeat;
  whole?: LaneApply;
  lift?: LaneLift;
}

/** Who hears what workers say. */
interface Hearers {
  readonly stats: ProxyStats;
  readonly taps: ReadonlyMap<number, (tapped: TappedRequest) => void>;
  readonly late: Late;
}

/** No worker runs yet. */
function openPool(parts: LanesParts, { stats, taps, late }: Hearers): WorkerPool {
  const { settings, clock, log, identity } = parts;
  const pool: WorkerPool = new WorkerPool({
    count: workerCount(settings.proxy, parts.cpus),
    settings: workerSettings(parts),
    start: (listener) => new WorkerProcess(listener),
    wholePlan: () => late.whole?.whole() ?? NOTHING,
    wholeIdentity: () => identity?.whole(),
    onHealth: () => late.heartbeat?.beat(),
    onTelemetry: (worker, telemetry) => stats.add(worker, telemetry, clock.monotonicMs()),
    onIdentityTelemetry: (worker, telemetry) => identity?.onTelemetry(worker, telemetry),
    onTapped: (id, tapped) => taps.get(id)?.(tapped),
    onEnded: (worker) => {
      stats.removeWorker(worker);
      identity?.onEnded(worker);
    },
    clock,
    random: parts.random,
    log,
  });
  identity?.share({
    start: () => late.whole?.want(),
    update: (delta) => pool.updateIdentity(delta),
    healthy: () => pool.healthy,
    commit: (transactions) => parts.apply.commitAside(transactions),
  });
  return pool;
}

function workerSettings({ settings: { proxy, identity }, families }: LanesParts): WorkerSettings {
  const { insidePort: portInside, outsidePort: portOutside, accessLogShare, via } = proxy;
  const { mode, tunnelPort, directPort } = identity;
  const tunnelDoors = mode === "none" ? {} : { tunnelDoors: { tunnelPort, directPort } };
  return { portInside, portOutside, families, accessLogShare, via, ...tunnelDoors };
}

/** Our workers listen before those of the agent before close their doors. */
async function settle(pool: WorkerPool, succession: Succession): Promise<void> {
  if (!succession.hasPredecessor) return;
  await pool.ready(WORKERS_WITHIN_MS);
  await succession.settle();
}

/**
 * New connections stay in the kernel lane from now on.
 * @returns for how long some may still come to the workers, in milliseconds
 */
async function lapse({ apply, families, log }: LanesParts, pool: WorkerPool): Promise<number> {
  if (!pool.healthy) return ON_THEIR_WAY_MS;
  try {
    await apply.tellLanes("dead", families);
    return ON_THEIR_WAY_MS;
  } catch (error) {
    log.warn("cannot tell the lanes that workers end; they find out", { error });
    return LAPSED_AFTER_MS;
  }
}

/** The socket that `top`, `tap` and `identity` read. Without it everything else goes on. */
async function serveTools(
  { settings, clock, log, succession, identity }: LanesParts,
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
): Promise<void> {
  const { adminSocket } = settings.proxy;
  if (adminSocket === undefined) return;
  let lastTap = 0;
  const parts = {
    stats,
    monotonicMs: () => clock.monotonicMs(),
    refresh: () => pool.refresh(),
    ...(identity && { identity }),
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
  await succession.held;
  await serveAdmin(adminSocket, parts, signal).catch((error: unknown) => {
    log.warn("no admin socket: top, tap and identity cannot ask this node", { adminSocket, error });
  });
}

function nodeOf({ store, nodeName, hostAddresses }: LanesParts) {
  const zone = store.nodes.get(nodeName)?.labels[ZONE_LABEL];
  return { nodeName, hostAddresses: hostAddresses(), ...(zone === undefined ? {} : { zone }) };
}

const NOTHING = { frontends: [], ports: [], groups: [], clients: [] };
