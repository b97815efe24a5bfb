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
