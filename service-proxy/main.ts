// The service proxy of one node: a filled store goes in, rules in the kernel come out, and
// everything an operator expects beside them. Wiring only.

import type { Clock } from "../lib/clock/clock.ts";
import type { Address } from "../lib/ip/address.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { Logger } from "../lib/log/logger.ts";
import { makeHealthMetrics, type NodeMetrics } from "../lib/metrics/node-metrics.ts";
import type { ConntrackTable } from "../lib/netlink/conntrack-table.ts";
import type { Family, NftKernel } from "../lib/nft/objects.ts";
import { type ConntrackCleaner, makeConntrackCleaner } from "./apply/conntrack-cleaner.ts";
import { withConntrackUsage } from "./apply/conntrack-usage.ts";
import { nodeReference, serverFailed, starting } from "./apply/event-reports.ts";
import type { EventSink } from "./apply/events.ts";
import { makeHealthHandler } from "./apply/health-server.ts";
import { keepServing } from "./apply/kept-server.ts";
import { type Leave, openLanes } from "./apply/lanes.ts";
import { makeMetricsHandler } from "./apply/metrics-server.ts";
import { NftApply } from "./apply/nft-apply.ts";
import type { Succession } from "./apply/succession.ts";
import { runSyncLoop } from "./apply/sync-loop.ts";
import { NodeObserver } from "./apply/sync-observer.ts";
import { toKubeProxyConfiguration } from "./config/kube-proxy-configuration.ts";
import type { NodeSettings } from "./config/node-settings.ts";
import type { IdentityPart } from "./model/identity-part.ts";
import { isNodeEligible } from "./model/proxy-health.ts";
import type { UdpTargets } from "./model/udp-targets.ts";
import { IP_FAMILY } from "./plan/service-plan.ts";
import { tableSettings } from "./plan/table-settings.ts";

/** The world as the service proxy needs it. */
export interface ServiceProxyParts {
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly families: readonly Family[];
  readonly cpus: number;
  readonly store: KubeStore;
  readonly kernel: NftKernel;
  readonly conntrack: ConntrackTable;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: NodeMetrics;
  readonly events: EventSink;
  readonly apiServerAddresses: readonly Address[];
  /** Addresses of the cluster's other nodes, as far as they are known. */
  readonly otherNodes: () => readonly Address[];
  readonly hostAddresses: () => readonly Address[];
  readonly ready: Promise<void>;
  readonly onHostChange: (listener: () => void) => () => void;
  /** Called once our rules stand: the moment to take kube-proxy's away. */
  readonly onFirstSync: () => void;
  readonly succession: Succession;
  readonly leave: Leave;
  /** Missing where identities are off. */
  readonly identity?: IdentityPart;
}

const CONNTRACK_INTERVAL_MS = 1_000;
/** Everything is compared this often, also when nobody seems to have touched anything. */
const FULL_AUDIT_PERIOD_MS = 600_000;

/**
 * Serves until `signal` aborts; rules stay in the kernel then.
 * @throws ListenError when a port is taken and `bindAddressHardFail` is set
 */
export async function runServiceProxy(
  parts: ServiceProxyParts,
  signal: AbortSignal,
): Promise<void> {
  const { settings, clock, log, metrics, events, families, nodeName, store, identity } = parts;
  const observer = new NodeObserver({
    ...parts,
    makeConntrackCleaner: (previous) => conntrackCleaner(parts, previous),
    unhealthyAfterMs: 2 * settings.syncPeriodMs,
  });
  const apply = new NftApply(parts.kernel, log);
  const lanes = openLanes({ ...parts, apply }, signal);
  events.report(starting(nodeReference(nodeName)));
  const loop = runSyncLoop(
    {
      settings: {
        ...tableSettings(settings, nodeName, parts.apiServerAddresses),
        ...(identity && { hasIdentities: (service) => identity.hasIdentities(service) }),
        ...(identity?.gate && { gate: identity.gate }),
      },
      families,
      minSyncPeriodMs: settings.minSyncPeriodMs,
      auditPeriodMs: settings.auditPeriodMs,
      fullAuditPeriodMs: FULL_AUDIT_PERIOD_MS,
    },
    { ...parts, apply, observer, lanes: lanes.apply },
    signal,
  );
  const health = makeHealthHandler({
    ...(identity?.enforcement && { enforcement: identity.enforcement }),
    state: () => ({
      verdict: observer.verdict(),
      nodeEligible: isNodeEligible(store.nodes.get(nodeName)),
      nowMs: clock.wallMs(),
    }),
    onAnswer: (path, status) => {
      const answers = path === "/healthz" ? metrics.healthzAnswers : metrics.livezAnswers;
      answers.add(1, { code: String(status) });
    },
  });
  try {
    await Promise.all([
      loop,
      serve(parts, "health", health, signal),
      serve(parts, "metrics", metricsHandler(parts), signal),
    ]);
  } finally {
    // Frees its ports, which a successor wants, before it waits for connections.
    await observer.close();
    await lanes.close();
  }
}

function conntrackCleaner(
  { conntrack, clock, log, metrics }: ServiceProxyParts,
  previous: UdpTargets,
): ConntrackCleaner {
  return makeConntrackCleaner({
    table: conntrack,
    clock,
    minimumIntervalMs: CONNTRACK_INTERVAL_MS,
    previous,
    onDone: ({ family, removed, durationMs }) => {
      const labels = { ip_family: IP_FAMILY[family] };
      metrics.conntrackSyncDuration.observe(durationMs / 1000, labels);
      metrics.conntrackDeleted.add(removed, labels);
    },
    onError: (error, retryMs) => log.warn("conntrack clean-up failed", { error, retryMs }),
  });
}

function metricsHandler({
  settings,
  metrics,
}: ServiceProxyParts): ReturnType<typeof makeMetricsHandler> {
  const health = makeHealthMetrics();
  return makeMetricsHandler({
    metrics: withConntrackUsage(metrics),
    slis: health.page,
    onPing: health.pinged,
    configuration: () => toKubeProxyConfiguration(settings),
  });
}

async function serve(
  { settings, clock, log, events, nodeName, succession }: ServiceProxyParts,
  name: "health" | "metrics",
  handler: ReturnType<typeof makeHealthHandler>,
  signal: AbortSignal,
): Promise<void> {
  const address = name === "health" ? settings.healthzAddress : settings.metricsAddress;
  if (address === undefined) return;
  const server = {
    address,
    handler,
    hardFail: settings.bindAddressHardFail,
    onFailure: (error: Error) => {
      log.error(`cannot serve ${name}`, { error });
      events.report(serverFailed(nodeReference(nodeName), name, error));
    },
  };
  await succession.held;
  await keepServing(server, { clock, signal });
}
