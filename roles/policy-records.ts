// What a node that enforces policies remembers for people: who called whom, who was kept from it.

import { systemClock } from "../lib/clock/system-clock.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { ConntrackTable } from "../lib/netlink/conntrack-table.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import { AddressBook } from "../netpol-identity/apply/address-book.ts";
import { DenialLog } from "../netpol-identity/apply/denial-log.ts";
import { watchDenials } from "../netpol-identity/apply/denial-watch.ts";
import { EdgeBook } from "../netpol-identity/apply/edge-book.ts";
import { watchEdges } from "../netpol-identity/apply/edge-watch.ts";
import type { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import type { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import { STRANGERS } from "../netpol-identity/plan/canary-targets.ts";
import type { WorkerTelemetry } from "../netpol-identity/proxy/policy-telemetry.ts";
import { connectionDenied } from "../service-proxy/apply/event-reports.ts";
import type { EventSink } from "../service-proxy/apply/events.ts";
import type { IdentityPart } from "../service-proxy/model/identity-part.ts";
import { readEndpoint } from "./worker-denials.ts";

export interface PolicyRecordsContext {
  readonly nodeName: string;
  readonly settings: { readonly policyCanary: boolean };
  readonly store: KubeStore;
  readonly kernel: Pick<NftKernel, "commit">;
  readonly conntrack: ConntrackTable;
  readonly events: EventSink;
  readonly log: Logger;
  readonly policies: NodePolicies;
  readonly identity: () => Pick<NodeIdentity, "identityOf" | "state">;
}

export interface PolicyRecords {
  readonly records: NonNullable<IdentityPart["records"]>;
  /** Has it told what a worker denied. */
  readonly onTelemetry: (telemetry: WorkerTelemetry) => void;
  /** Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Denials are told from now on; edges are looked for while it runs. */
export async function openPolicyRecords(
  context: PolicyRecordsContext,
  signal: AbortSignal,
): Promise<PolicyRecords> {
  const { nodeName, settings, store, kernel, conntrack, events, log, policies, identity } = context;
  const addresses = new AddressBook(store);
  const identityOf = (address: string): string | null => {
    const known = identity().identityOf(address);
    if (known !== null || addresses.nodes.get(address) !== nodeName) return known;
    return identity().state.host?.identity ?? null;
  };
  const denials = new DenialLog({
    nodeName,
    index: policies.index,
    book: addresses,
    identityOf,
    clock: systemClock,
    log,
    onDenied: (pod, message) => events.report(connectionDenied(pod, nodeName, message)),
    ...(settings.policyCanary && { ignored: new Set(Object.values(STRANGERS)) }),
  });
  const group = await watchDenials({ denials, kernel, clock: systemClock, log }, signal);
  if (group !== undefined) policies.logTo(group);
  const edges = new EdgeBook();
  const world = () => ({
    nodeName,
    owned: addresses.pods,
    nodes: addresses.nodes,
    services: addresses.services,
    isProven: (client: string, server: string) =>
      identityOf(client) !== null && identityOf(server) !== null,
  });
  return {
    onTelemetry: ({ policy }) => {
      denials.addDenied(policy?.denials ?? []);
      for (const { client, endpoint, ...seen } of policy?.requests ?? []) {
        const { address, port } = readEndpoint(endpoint);
        const requests = { source: client, target: address, port, ...seen };
        edges.addRequests(requests, world(), systemClock.wallMs());
      }
    },
    records: { edges: () => edges.report(nodeName), denials: () => denials.report() },
    run: (end) =>
      watchEdges(
        {
          book: edges,
          table: conntrack,
          clock: systemClock,
          world,
          onError: (error) => log.debug("cannot look at connections", { error }),
        },
        end,
      ),
  };
}
