// Who may claim an address from outside the cluster's own ranges. Services of any namespace can
// write externalIPs (and whoever may write status, LB VIPs); without this guard one of them could
// take over the cluster's DNS, the API server or a node (CVE-2020-8554).

import { isReservedAddress } from "../../lib/ip/address.ts";
import { type Cidr, cidrContains } from "../../lib/ip/cidr.ts";

export interface VipGuardFacts {
  /** Every ClusterIP in use, canonical. */
  readonly clusterIps: { has(address: string): boolean };
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses of nodes: of this one from its interfaces and its Node object. */
  readonly nodeAddresses: ReadonlySet<string>;
  /** Endpoints of Service default/kubernetes and the server this node talks to. */
  readonly apiServerAddresses: ReadonlySet<string>;
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
  return cidr === undefined ? undefined : `lies in the ServiceCIDR ${cidr}`;
}
