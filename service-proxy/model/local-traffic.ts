// `--detect-local-mode`: how a node tells its own pods' traffic from the rest. Pure.

import { type AddressFamily, familyOf } from "../../lib/ip/address.ts";
import type { Cidr } from "../../lib/ip/cidr.ts";
import type { Node } from "../../lib/kube/api/node.ts";

/** The setting, one of kube-proxy's four modes. */
export type DetectLocal =
  /** A family without a prefix has no detector. */
  | { readonly kind: "ClusterCIDR"; readonly cidrs: readonly Cidr[] }
  /** The Node's own podCIDRs. */
  | { readonly kind: "NodeCIDR" }
  | { readonly kind: "BridgeInterface"; readonly interfaceName: string }
  | { readonly kind: "InterfaceNamePrefix"; readonly prefix: string };

/**
 * The prefixes whose sources count as local pods, for the modes that go by address.
 * ClusterCIDR takes the first prefix of the family; NodeCIDR those of the Node object, which may
 * come late: until then nobody counts as local, and everybody is masqueraded.
 */
export function localPodCidrs(
  setting: DetectLocal,
  node: Node | undefined,
  family: AddressFamily,
): readonly Cidr[] {
  const ofFamily = (cidrs: readonly Cidr[]): readonly Cidr[] =>
    cidrs.filter((cidr) => familyOf(cidr) === family);
  switch (setting.kind) {
    case "ClusterCIDR":
      return ofFamily(setting.cidrs).slice(0, 1);
    case "NodeCIDR":
      return ofFamily(node?.podCIDRs ?? []);
    case "BridgeInterface":
    case "InterfaceNamePrefix":
      return [];
    default:
      return setting satisfies never;
  }
}
