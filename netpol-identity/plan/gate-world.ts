// What the gate of the lanes rests on, from the cluster's pods. Pure.

import { type Address, familyOf } from "../../lib/ip/address.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PolicyIndex } from "../evaluate/policy-index.ts";
import type { Direction } from "../model/policy.ts";
import type { GateSide, GateWorld } from "./lane-gate.ts";
import { NOBODY, type TunnelPlan } from "./tunnel-plan.ts";
import { claimantsOf, type WorkloadAddresses } from "./workload-addresses.ts";

export interface GateSources {
  /** Of the whole cluster. */
  readonly owners: WorkloadAddresses;
  /** Pods of this node. */
  readonly local: Iterable<Pod>;
  readonly index: Pick<PolicyIndex, "setOf" | "groups">;
  readonly plan: Pick<TunnelPlan, "workloads" | "peers" | "host">;
  /** Of this node; the first of each family counts. */
  readonly nodeAddresses: readonly Address[];
}

type Identities = Pick<TunnelPlan, "workloads" | "peers">;

/** Addresses that may prove another identity by the one plan than by the other. */
export function otherIdentities(before: Identities, after: Identities): ReadonlySet<Address> {
  const others = new Set<Address>();
  for (const part of ["workloads", "peers"] as const) {
    const [a, b] = [before[part], after[part]];
    for (const [address, { identity }] of b) {
      if (a.get(address)?.identity !== identity) others.add(address);
    }
    for (const address of a.keys()) if (!b.has(address)) others.add(address);
  }
  return others;
}

/** To be made anew whenever one of the sources is another. */
export function gateWorld(sources: GateSources): GateWorld {
  const { owners, local, index, plan, nodeAddresses } = sources;
  const identityAt = (address: Address): string | null => {
    const { identity = NOBODY } = plan.workloads.get(address) ?? plan.peers.get(address) ?? {};
    return identity === NOBODY ? null : identity;
  };
  // Where several pods claim an address, what restricts one of them restricts it.
  const sideOf = (address: Address, direction: Direction): GateSide => {
    const sets = claimantsOf(owners, address).map((pod) => index.setOf(pod, direction));
    return { set: sets.find((set) => set !== undefined), identity: identityAt(address) };
  };
  const own = Iterator.from(local).flatMap(({ addresses }) => addresses);
  return {
    pods: new Map(own.map((address) => [address, sideOf(address, "egress")])),
    server: (address) => sideOf(address, "ingress"),
    nodeAddress: (family) => nodeAddresses.find((address) => familyOf(address) === family),
    nodeIdentity: plan.host?.identity ?? null,
    groups: index.groups,
  };
}
