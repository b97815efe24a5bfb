// Joins the part of a node that proves identities and enforces policies to its source, its kernel
// and its authority.

import { systemClock } from "../lib/clock/system-clock.ts";
import type { KubeClient } from "../lib/kube/client.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { WatchReport } from "../lib/kube/watch-report.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { NodeMetrics } from "../lib/metrics/node-metrics.ts";
import type { ConntrackTable } from "../lib/netlink/conntrack-table.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import { parseSpiffeId } from "../lib/x509/spiffe-id.ts";
import { CaClient } from "../netpol-identity/apply/ca-client.ts";
import type { KeyEvent, Sign } from "../netpol-identity/apply/key-keeper.ts";
import { openLocalAuthority } from "../netpol-identity/apply/local-authority.ts";
import { exposeIdentity } from "../netpol-identity/apply/identity-metrics.ts";
import { reportIdentities } from "../netpol-identity/apply/identity-report.ts";
import { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import { PolicyApply, type PolicyKernel } from "../netpol-identity/apply/policy-apply.ts";
import { removePolicy } from "../netpol-identity/apply/policy-removal.ts";
import { TunnelStats } from "../netpol-identity/apply/tunnel-stats.ts";
import { type TrustSource, watchTrust } from "../netpol-identity/apply/trust-watch.ts";
import { CA_OBJECTS, DEFAULT_CA_SETTINGS } from "../netpol-identity/ca/ca-settings.ts";
import { NO_TRUST } from "../netpol-identity/model/trust.ts";
import { readEnrolmentLabels } from "../netpol-identity/plan/enrolment.ts";
import type { WorkerTelemetry } from "../netpol-identity/proxy/policy-telemetry.ts";
import { certificateMissing, identityProblem } from "../service-proxy/apply/event-reports.ts";
import type { EventSink } from "../service-proxy/apply/events.ts";
import type { NodeSettings } from "../service-proxy/config/node-settings.ts";
import type { IdentityPart, SharedWorkers } from "../service-proxy/model/identity-part.ts";
import { memoryExposure } from "./memory-guard.ts";
import { makeNodePolicies, type OpenedPolicies } from "./node-policies.ts";

export interface NodeIdentityContext {
  /** This host's own. */
  readonly addresses: { readonly current: () => readonly string[] };
  readonly settings: NodeSettings;
  readonly nodeName: string;
  readonly store: KubeStore;
  readonly kernel: NftKernel;
  readonly conntrack: ConntrackTable;
  /** Missing where objects come from a directory. */
  readonly client?: KubeClient;
  readonly events: EventSink;
  readonly onWatchEvent: (report: WatchReport) => void;
  readonly metrics: NodeMetrics;
  readonly held: Promise<void>;
  readonly hasPredecessor: () => boolean;
  readonly log: Logger;
}

/** Where there are no identities, nobody is trusted and nobody asks. */
const NOBODY: { readonly authority: TrustSource; readonly sign: Sign } = {
  authority: { trust: () => NO_TRUST, onChange: () => () => {} },
  sign: () => Promise.reject(new Error("Cannot sign: identities are off")),
};

/** The part as the lanes see it, and its own life. */
export interface OpenedIdentity {
  readonly part: IdentityPart;
  /** Resolves when workers could start, or soon. */
  readonly prepared: Promise<void>;
  /** Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** @throws Error when the authority is named but cannot be had */
export async function openNodeIdentity(
  context: NodeIdentityContext,
  signal: AbortSignal,
): Promise<OpenedIdentity | undefined> {
  const { nodeName, store, kernel, held, hasPredecessor, log, metrics, events } = context;
  const { identity: settings, networkPolicy } = context.settings;
  const { mode, trustDomain, tunnelPort, directPort } = settings;
  if (mode === "none" && networkPolicy === "none") {
    // An earlier run may have had some.
    void held
      .then(() => removePolicy(kernel))
      .catch((error: unknown) => {
        log.warn("cannot remove the tables of identities", { error });
      });
    return undefined;
  }
  const { authority, sign } = mode === "none" ? NOBODY : await openAuthority(context, signal);
  const stats = new TunnelStats();
  const shared: { workers?: SharedWorkers } = {};
  const door = policyKernel(kernel, shared);
  const apply = new PolicyApply(door, log);
  const made = makeNodePolicies({ context, door, apply, identity: () => identity }, signal);
  const record = exposeIdentity(metrics.page, () => identity.state, stats);
  const identity: NodeIdentity = new NodeIdentity({
    settings: { nodeName, trustDomain, meshDefault: mode, tunnelPort, directPort },
    store,
    ...made?.parts,
    apply,
    authority,
    sign,
    held,
    hasPredecessor,
    clock: systemClock,
    random: Math.random,
    log,
    onKeyEvent: (event) => {
      record(event);
      tellKeyEvent(event, context);
    },
    onProblem: (problem) => {
      log.warn(`${problem.object}: ${problem.message}`, { field: problem.field });
      events.report(identityProblem(problem));
    },
  });
  const policies = await made?.open();
  return {
    part: identityPart(context, { identity, stats, shared, policies }),
    prepared: identity.prepared,
    run: async (end) => {
      await Promise.all([identity.run(end), policies?.run(end)]);
    },
  };
}

interface Opened {
  readonly identity: NodeIdentity;
  readonly stats: TunnelStats;
  readonly shared: { workers?: SharedWorkers };
  readonly policies: OpenedPolicies | undefined;
}

function identityPart(
  { settings, nodeName, store }: NodeIdentityContext,
  { identity, stats, shared, policies }: Opened,
): IdentityPart {
  const { mode, trustDomain } = settings.identity;
  return {
    share: (workers) => {
      shared.workers = workers;
      identity.share(workers);
    },
    whole: () => identity.whole(),
    // Of our own workers: it has this shape.
    onTelemetry: (worker, telemetry) => {
      const counted = telemetry as WorkerTelemetry;
      if (counted.tunnels !== undefined) stats.add(worker, counted.tunnels);
      policies?.onTelemetry(counted);
    },
    onEnded: (worker) => stats.forget(worker),
    hasIdentities: (service) => identity.hasIdentities(service),
    ...policies?.part,
    describe: (question) =>
      reportIdentities(
        {
          node: nodeName,
          trustDomain,
          meshDefault: mode,
          atMs: systemClock.wallMs(),
          pods: store.pods.values(),
          labels: readEnrolmentLabels(store, mode === "none" ? "off" : mode),
          exposure: memoryExposure(),
          state: identity.state,
        },
        question,
      ),
  };
}

/** Commits through the lanes, whose audits then know of them. */
function policyKernel(
  kernel: NftKernel,
  shared: { readonly workers?: SharedWorkers },
): PolicyKernel {
  return {
    commit: (transactions) => (shared.workers ?? kernel).commit(transactions),
    digest: (...asked) => kernel.digest(...asked),
    readRules: (...asked) => kernel.readRules(...asked),
    readCounters: (...asked) => kernel.readCounters(...asked),
    generation: () => kernel.generation(),
  };
}

function tellKeyEvent(event: KeyEvent, context: NodeIdentityContext): void {
  const { log, events, nodeName } = context;
  const { identity } = event;
  const account = parseSpiffeId(identity);
  if (event.kind !== "issued" && account !== undefined) {
    const message = event.kind === "expired" ? "its certificate ran out" : String(event.error);
    events.report(certificateMissing(account, nodeName, message));
  }
  switch (event.kind) {
    case "issued":
      return log.info("an identity has a certificate", { identity, serial: event.serial });
    case "failed":
      return log.warn("no certificate for an identity yet", { identity, error: event.error });
    case "expired":
      return log.error("an identity has lost its certificate: it ran out", { identity });
    default:
      return event satisfies never;
  }
}

async function openAuthority(
  context: NodeIdentityContext,
  signal: AbortSignal,
): Promise<{ readonly authority: TrustSource; readonly sign: Sign }> {
  const { nodeName, log, client } = context;
  const { authority: where, trustDomain, lifetimeMs } = context.settings.identity;
  if (where.kind === "directory") {
    const authority = await openLocalAuthority(
      { directory: where.path, trustDomain, nodeName, lifetimeMs, clock: systemClock, log },
      signal,
    );
    return { authority, sign: authority.sign };
  }
  if (client === undefined) {
    throw new Error(
      "Cannot ask a certificate authority: objects come from a directory, use dir:PATH",
    );
  }
  const authority = watchTrust(
    {
      client,
      namespace: DEFAULT_CA_SETTINGS.namespace,
      name: CA_OBJECTS.bundle,
      clock: systemClock,
      random: Math.random,
      onEvent: context.onWatchEvent,
    },
    signal,
  );
  return { authority, sign: askAuthority(context, authority, signal) };
}

/** The authority's Service is found in the store: names resolve only once Services are served. */
function askAuthority(
  { settings: { identity }, store }: NodeIdentityContext,
  { trust }: TrustSource,
  signal: AbortSignal,
): Sign {
  const { authority, trustDomain, tokenFile, lifetimeMs } = identity;
  const ca = new CaClient({
    endpoint: () => {
      if (authority.kind === "url") {
        const { hostname, port } = new URL(authority.url);
        return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 443) };
      }
      if (authority.kind === "directory") return undefined;
      const host = store.services.get(authority.service)?.clusterIPs[0];
      return host === undefined ? undefined : { host, port: authority.port };
    },
    roots: () => trust().bundles.get(trustDomain) ?? [],
    tokenPath: tokenFile,
    clock: systemClock,
  });
  signal.addEventListener("abort", () => ca[Symbol.dispose]());
  return (csrDer, uri, wishSignal) => {
    const identity = parseSpiffeId(uri);
    if (identity === undefined) throw new Error(`Cannot ask for ${uri}: it is no workload`);
    return ca.sign({ csrDer, identity, lifetimeMs }, wishSignal);
  };
}
