// Joins the parts of a proxy worker: what serves Services, tunnels, and policies that both ask.

import type { Reactor } from "../lib/reactor/reactor.ts";
import { type Dialer, TransparentDialer } from "../lib/reactor/transparent-socket.ts";
import { parseSpiffeId } from "../lib/x509/spiffe-id.ts";
import type { WorkerDelta } from "../netpol-identity/plan/policy-plan.ts";
import { PolicyWorker } from "../netpol-identity/proxy/policy-worker.ts";
import type { Inspect } from "../netpol-identity/tunnel/inspection.ts";
import { NOBODY_PROVEN } from "../netpol-identity/tunnel/tunnel-dialer.ts";
import { TunnelWorker } from "../netpol-identity/tunnel/tunnel-worker.ts";
import { SOURCES } from "../service-proxy/model/edge.ts";
import type { RequestRecord } from "../service-proxy/model/request-record.ts";
import type {
  FromWorker,
  ToWorker,
  WorkerSettings,
} from "../service-proxy/model/worker-messages.ts";
import { ProxyWorker } from "../service-proxy/proxy/proxy-worker.ts";
import { makeAuditLog } from "./audit-log.ts";
import { closeMemory } from "./memory-guard.ts";
import { makeTunnelLog } from "./tunnel-log.ts";
import { workerDenial } from "./worker-denials.ts";

export interface OpenedWorker {
  readonly worker: ProxyWorker;
  /** Missing where identities are off. */
  readonly tunnels: TunnelWorker | undefined;
  /** Missing where no policies are kept. */
  readonly policies: PolicyWorker | undefined;
}

/** Its doors are open. @throws SystemError */
export function openWorker(
  { settings, plan, identity }: Extract<ToWorker, { kind: "start" }>,
  reactor: Reactor,
  tell: (message: FromWorker) => void,
): OpenedWorker {
  // Of our own control process: it has this shape.
  const told = identity as WorkerDelta | undefined;
  // Nothing arrives before it stands: sockets are read in a later turn.
  const inspect: Inspect = (inspection) =>
    worker.guard({ ...inspection, workload: workloadAt(policies, inspection.target.address) });
  const isHost = (address: string): boolean => worker.tables.isHost(address);
  const policies = openPolicies(told, isHost);
  const onDenied = (record: RequestRecord): void => {
    const denial = policies && workerDenial(record);
    if (denial !== undefined) policies?.denied(denial);
  };
  const tunnels = openTunnels(settings, told, { reactor, inspect, isHost, policies, onDenied });
  const plain = new TransparentDialer(reactor, Math.random);
  const inner: Dialer = tunnels?.dialer ?? plain;
  const guarded = policies?.dialer({
    reactor,
    inner,
    plain,
    inspect,
    pairOf: (to, client) => tunnels?.dialer.pairOf(to, client) ?? NOBODY_PROVEN,
  });
  const dialer = guarded ?? inner;
  const worker: ProxyWorker = new ProxyWorker({
    reactor,
    dialer,
    settings,
    random: Math.random,
    tell,
    onDenied,
    onRequest: policies && ((...seen) => policies.requested(...seen)),
  });
  worker.apply(plan);
  worker.listen();
  return { worker, tunnels, policies };
}

/** Where it is asked, policies know the pod: they want its requests to be looked at. */
function workloadAt(policies: PolicyWorker | undefined, address: string): string {
  const account = parseSpiffeId(policies?.identityAt(address) ?? "");
  if (account === undefined) return SOURCES.unknown;
  return `ServiceAccount ${account.namespace}/${account.serviceAccount}`;
}

function openPolicies(
  told: WorkerDelta | undefined,
  isHost: (address: string) => boolean,
): PolicyWorker | undefined {
  if (told?.policy === undefined) return undefined;
  const policies = new PolicyWorker({ onAudit: makeAuditLog(), isHost });
  policies.apply(told.policy);
  return policies;
}

interface TunnelContext {
  readonly reactor: Reactor;
  readonly inspect: Inspect;
  readonly isHost: (address: string) => boolean;
  readonly policies: PolicyWorker | undefined;
  readonly onDenied: (record: RequestRecord) => void;
}

function openTunnels(
  settings: WorkerSettings,
  told: WorkerDelta | undefined,
  { reactor, inspect, isHost, policies, onDenied }: TunnelContext,
): TunnelWorker | undefined {
  if (told === undefined || settings.tunnelDoors === undefined) return undefined;
  closeMemory();
  const tunnels = new TunnelWorker({
    reactor,
    inner: new TransparentDialer(reactor, Math.random),
    isHost,
    authorize: policies?.authorize ?? (() => ({ kind: "allow" })),
    policyRevision: () => policies?.revision ?? 0,
    inspect,
    onFinished: makeTunnelLog(settings.accessLogShare, onDenied),
    wallMs: Date.now,
    random: Math.random,
  });
  tunnels.apply(told);
  tunnels.listen({ families: settings.families, ...settings.tunnelDoors });
  return tunnels;
}
