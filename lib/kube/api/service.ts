// core/v1 Service: the fields Innermesh reads, checked at the edge.

export type IpFamily = "IPv4" | "IPv6";
export type Protocol = "TCP" | "UDP" | "SCTP";
export type TrafficPolicy = "Cluster" | "Local";
export type ServiceType = "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";

export interface ServicePort {
  /** "" when the only port has no name. EndpointSlice ports match by this name and protocol. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535 */
  readonly port: number;
  /** 0 when none is allocated. */
  readonly nodePort: number;
  readonly appProtocol?: string;
}

export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Milliseconds since 1970; 0 when the object does not say. */
  readonly createdMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly type: ServiceType;
  /** Canonical addresses, primary first; empty for headless and ExternalName. */
  readonly clusterIPs: readonly string[];
  readonly ports: readonly ServicePort[];
  /** Canonical addresses of either family. */
  readonly externalIPs: readonly string[];
  /** `status.loadBalancer.ingress[].ip` that the node must serve: ipMode VIP or unset. */
  readonly loadBalancerVips: readonly string[];
  /** Prefixes of either family, canonical; trimmed. */
  readonly loadBalancerSourceRanges: readonly string[];
  /** Seconds of ClientIP affinity; undefined for affinity None. */
  readonly affinitySeconds?: number;
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** 0 when none. */
  readonly healthCheckNodePort: number;
}
