// Ends what policies deny by now and the kernel let in before.

import { systemClock } from "../lib/clock/system-clock.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { ConntrackTable } from "../lib/netlink/conntrack-table.ts";
import { AddressBook } from "../netpol-identity/apply/address-book.ts";
import { type FlowCleaner, startFlowCleaner } from "../netpol-identity/apply/flow-cleaner.ts";
import type { NodeIdentity } from "../netpol-identity/apply/node-identity.ts";
import type { NodePolicies } from "../netpol-identity/apply/node-policies.ts";
import type { FlowWorld } from "../netpol-identity/plan/flow-verdict.ts";
import type { NetworkWorld } from "../netpol-identity/plan/network-world.ts";

export interface PolicyFlowsContext {
  readonly store: KubeStore;
  readonly conntrack: ConntrackTable;
  readonly log: Logger;
  readonly policies: NodePolicies;
  readonly identity: () => Pick<NodeIdentity, "identityOf">;
  /** This host's own. */
  readonly addresses: { readonly current: () => readonly string[] };
}

/** Works until `signal` aborts; a request means that the kernel holds something new. */
export function endDeniedFlows(context: PolicyFlowsContext, signal: AbortSignal): FlowCleaner {
  const { store, conntrack, log, policies, identity, addresses } = context;
  const book = new AddressBook(store);
  let known: { readonly network: NetworkWorld; readonly pods: FlowWorld["pods"] } | undefined;
  const podsOf = (network: NetworkWorld): FlowWorld["pods"] => {
    if (known?.network !== network) {
      const isolated = network.pods.filter(({ ingress, egress }) => ingress ?? egress);
      const pods = isolated.flatMap((pod) =>
        pod.addresses.map((address) => [address, pod] as const),
      );
      known = { network, pods: new Map(pods) };
    }
    return known.pods;
  };
  const world = (): FlowWorld => {
    const own = new Set(addresses.current());
    const { services } = book;
    return {
      pods: policies.network === undefined ? new Map() : podsOf(policies.network),
      groups: policies.index.groups,
      identityOf: (address) => identity().identityOf(address),
      isHost: (address) => own.has(address),
      isService: (address) => services.has(address),
    };
  };
  return startFlowCleaner(
    {
      table: conntrack,
      clock: systemClock,
      world,
      onDone: ({ listed, removed, durationMs }) => {
        if (removed > 0)
          log.info("ended flows that policies deny", { listed, removed, durationMs });
      },
      onError: (error) => log.warn("cannot end flows that policies deny; trying again", { error }),
    },
    signal,
  );
}
