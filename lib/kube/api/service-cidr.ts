// networking.k8s.io/v1 ServiceCIDR: the ranges ClusterIPs come from.

export interface ServiceCidr {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly cidrs: readonly string[];
}
