// Who may claim an address from outside the cluster's own ranges. Services of any namespace can
// write externalIPs (and whoever may write status, LB VIPs); without this guard one of them could
// take over the cluster's DNS, the API server, a node or other people's pods (CVE-2020-8554).

import { isReservedAddress } from "../../lib/ip/address.ts";
import { type Cidr, cidrContains, parseCidr, splitCidr } from "../../lib/ip/cidr.ts";

export interface VipGuardFacts {
  /** Every ClusterIP in use, canonical. */
  readonly clusterIps: { has(address: string): boolean };
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses of nodes: of this one from its interfaces and its Node object. */
  readonly nodeAddresses: ReadonlySet<string>;
  /** Endpoints of Service default/kubernetes and the server this node talks to. */
  readonly apiServerAddresses: ReadonlySet<string>;
  readonly podRanges: PodRanges;
}

/** Prefixes that pods have their addresses from. A cluster has some for each node. */
export interface PodRanges {
  readonly cidrs: ReadonlySet<Cidr>;
  /** In bits, of any of them. */
  readonly lengths: ReadonlySet<number>;
}

/** Without those that contain everything, which say nothing of pods. */
export function podRangesOf(cidrs: Iterable<Cidr>): PodRanges {
  const some = [...cidrs].filter((cidr) => splitCidr(cidr).length > 0);
  return { cidrs: new Set(some), lengths: new Set(some.map((cidr) => splitCidr(cidr).length)) };
}

/**
 * Says why an address may not be an external VIP.
 * @returns the second half of a sentence that starts with the address; undefined when it may
 */
export function refuseVip(facts: VipGuardFacts, address: string): string | undefined {
  if (isReservedAddress(address)) return "is a reserved address";
  if (facts.clusterIps.has(address)) return "is the ClusterIP of a Service";
  if (facts.apiServerAddresses.has(address)) return "is the address of the API server";
  if (facts.nodeAddresses.has(address)) return "is the address of a node";
  const cidr = facts.serviceCidrs.find((candidate) => cidrContains(candidate, address));
  if (cidr !== undefined) return `lies in the ServiceCIDR ${cidr}`;
  const pods = rangeAround(facts.podRanges, address);
  return pods === undefined ? undefined : `lies in ${pods}, where pods have their addresses`;
}

function rangeAround({ cidrs, lengths }: PodRanges, address: string): Cidr | undefined {
  for (const length of lengths) {
    const cidr = parseCidr(`${address}/${length}`);
    if (cidr !== undefined && cidrs.has(cidr)) return cidr;
  }
  return undefined;
}
