// What this node is, as its Node object, its interfaces and its settings say: where it stands,
// where NodePorts answer, which addresses nobody may claim. Pure.

import {
  type Address,
  type AddressFamily,
  familyOf,
  isReservedAddress,
} from "../../lib/ip/address.ts";
import { type Cidr, cidrContains } from "../../lib/ip/cidr.ts";
import type { Node } from "../../lib/kube/api/node.ts";

/** `primary`, or prefixes that pick among the addresses of the node's interfaces. */
export type NodePortAddresses =
  | { readonly kind: "primary" }
  | { readonly kind: "cidrs"; readonly cidrs: readonly Cidr[] };

/** The addresses of one family where NodePorts answer. */
export type NodePortScope =
  | { readonly kind: "everywhere" }
  | { readonly kind: "addresses"; readonly addresses: readonly Address[] };

export const ZONE_LABEL = "topology.kubernetes.io/zone";

/**
 * This node's own address in a family: its first InternalIP, else its first ExternalIP.
 * @param override `--bind-address`, when it names an address
 */
export function primaryAddress(
  node: Node | undefined,
  family: AddressFamily,
  override?: Address,
): Address | undefined {
  if (override !== undefined && familyOf(override) === family) return override;
  const own = (node?.addresses ?? []).filter(({ address }) => familyOf(address) === family);
  const internal = own.find(({ type }) => type === "InternalIP");
  return (internal ?? own.find(({ type }) => type === "ExternalIP"))?.address;
}

/**
 * Where NodePorts answer in one family. `primary` without an address of the family closes it
 * (kube-proxy opens every address then); a list of prefixes that names only the other family
 * opens this one, as kube-proxy does.
 * @param host addresses on this node's interfaces
 */
export function nodePortScope(
  setting: NodePortAddresses,
  family: AddressFamily,
  primary: Address | undefined,
  host: readonly Address[],
): NodePortScope {
  if (setting.kind === "primary") {
    return { kind: "addresses", addresses: primary === undefined ? [] : [primary] };
  }
  const own = setting.cidrs.filter((prefix) => familyOf(prefix) === family);
  if (own.length === 0 || own.some((prefix) => prefix.endsWith("/0"))) {
    return { kind: "everywhere" };
  }
  const chosen = host.filter(
    (address) =>
      familyOf(address) === family &&
      !isReservedAddress(address) &&
      own.some((prefix) => cidrContains(prefix, address)),
  );
  return { kind: "addresses", addresses: [...new Set(chosen)].sort() };
}

/**
 * Every address that is this node's own; Services may claim none of them. Link-local ones, which
 * come and go with every pod's interface, are left out: they are refused by their range.
 */
export function ownAddresses(
  node: Node | undefined,
  host: readonly Address[],
): ReadonlySet<Address> {
  const all = [...(node?.addresses ?? []).map(({ address }) => address), ...host];
  return new Set(all.filter((address) => !isReservedAddress(address)).sort());
}
