// core/v1 Service: the fields Innermesh reads, checked at the edge.

import { parseCidr } from "../../ip/cidr.ts";
import {
  asList,
  asPort,
  asRecord,
  asText,
  formatValue,
  readAddress,
  textRecord,
} from "./fields.ts";
import { type Head, invalidObject, readHead } from "./head.ts";
import type { IgnoredBecause, Parsed } from "./parsed.ts";

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

/** Seconds of ClientIP affinity when the object does not say (the API's own default). */
const DEFAULT_AFFINITY_SECONDS = 10_800;
const MAX_AFFINITY_SECONDS = 86_400;

/** Copies the whole object into itself; nothing reads it, and it doubles the memory. */
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * Reads a Service. Never throws. Headless and ExternalName Services are ignored (ExternalName
 * even where a cluster IP remains); one without a readable cluster IP or port is invalid; any
 * other bad field is dropped with a problem.
 */
export function parseService(value: unknown): Parsed<Service> {
  const head = readHead("Service", "namespaced", value);
  if (head.kind === "invalid") return head;
  const why = reasonNotProxied(head);
  if (why !== undefined) return { kind: "ignored", key: head.key, why };
  const clusterIPs = readClusterIPs(head);
  const ports = readPorts(head);
  if (clusterIPs.length === 0 || ports.length === 0) return invalidObject(head);
  const { spec, metadata } = head;
  const createdMs = Date.parse(asText(metadata["creationTimestamp"]));
  const { [LAST_APPLIED]: _, ...annotations } = textRecord(metadata["annotations"]);
  const affinitySeconds = readAffinitySeconds(head);
  const sourceRanges = readSourceRanges(head);
  const object: Service = {
    kind: "Service",
    namespace: head.namespace,
    name: head.name,
    uid: head.uid,
    resourceVersion: head.resourceVersion,
    createdMs: Number.isNaN(createdMs) ? 0 : createdMs,
    labels: textRecord(metadata["labels"]),
    annotations,
    type: readType(head),
    clusterIPs,
    ports,
    externalIPs: readAddressList(head, "spec.externalIPs", asList(spec["externalIPs"])),
    // Ranges that are all unreadable must not open the balancer to the world: it stays closed.
    loadBalancerVips: sourceRanges === "unreadable" ? [] : readVips(head),
    loadBalancerSourceRanges: sourceRanges === "unreadable" ? [] : sourceRanges,
    ...(affinitySeconds !== undefined && { affinitySeconds }),
    internalTrafficPolicy: readPolicy(head, "internalTrafficPolicy"),
    externalTrafficPolicy: readPolicy(head, "externalTrafficPolicy"),
    healthCheckNodePort: readOptionalPort(head, "healthCheckNodePort"),
  };
  return { kind: "ok", object, problems: head.problems.take() };
}

function reasonNotProxied({ spec }: Head): IgnoredBecause | undefined {
  if (spec["type"] === "ExternalName") return "external-name";
  const clusterIP = asList(spec["clusterIPs"])[0] ?? spec["clusterIP"];
  if (clusterIP === "None") return "headless";
  return clusterIP === undefined || clusterIP === null || clusterIP === ""
    ? "no-cluster-ip"
    : undefined;
}

function readType({ spec, problems }: Head): ServiceType {
  const type = spec["type"] ?? "ClusterIP";
  if (type === "ClusterIP" || type === "NodePort" || type === "LoadBalancer") return type;
  problems.add("spec.type", `want ClusterIP, NodePort or LoadBalancer: got ${formatValue(type)}`);
  return "ClusterIP";
}

/** At most one address of each family, primary first. */
function readClusterIPs(head: Head): readonly string[] {
  const list = asList(head.spec["clusterIPs"]);
  const addresses =
    list.length > 0
      ? readAddressList(head, "spec.clusterIPs", list)
      : readAddressList(head, "spec.clusterIP", [head.spec["clusterIP"]]);
  const [primary, ...others] = addresses;
  if (primary === undefined) return [];
  const secondary = others.find((other) => other.includes(":") !== primary.includes(":"));
  if (others.length > (secondary === undefined ? 0 : 1)) {
    head.problems.add("spec.clusterIPs", "want at most one address of each family");
  }
  return secondary === undefined ? [primary] : [primary, secondary];
}

function readAddressList(
  { problems }: Head,
  field: string,
  values: readonly unknown[],
): readonly string[] {
  const addresses = values.flatMap((value, i) => {
    const address = readAddress(value, `${field}[${i}]`, problems);
    return address === undefined ? [] : [address];
  });
  return [...new Set(addresses)];
}

function readPorts(head: Head): readonly ServicePort[] {
  const { spec, problems } = head;
  const taken = new Set<string>();
  const ports = asList(spec["ports"]).flatMap((value, i): readonly ServicePort[] => {
    const port = readPort(head, value, `spec.ports[${i}]`);
    if (port === undefined) return [];
    const claims = [`name ${port.name}`, `${port.protocol} port ${port.port}`];
    const clash = claims.find((claim) => taken.has(claim));
    if (clash !== undefined) {
      problems.add(`spec.ports[${i}]`, `want names and ports used once: ${clash} came before`);
      return [];
    }
    for (const claim of claims) taken.add(claim);
    return [port];
  });
  if (ports.length === 0) problems.add("spec.ports", "want at least one readable port: got none");
  return ports;
}

function readPort(head: Head, value: unknown, field: string): ServicePort | undefined {
  const fields = asRecord(value);
  const port = asPort(fields["port"]);
  const protocol = asProtocol(fields["protocol"]);
  if (port === undefined) {
    const got = formatValue(fields["port"]);
    head.problems.add(`${field}.port`, `want a number, 1 to 65535: got ${got}`);
    return undefined;
  }
  if (protocol === undefined) {
    const got = formatValue(fields["protocol"]);
    head.problems.add(`${field}.protocol`, `want TCP, UDP or SCTP: got ${got}`);
    return undefined;
  }
  const appProtocol = fields["appProtocol"];
  return {
    name: asText(fields["name"]),
    protocol,
    port,
    nodePort: readNodePort(head, fields["nodePort"], `${field}.nodePort`),
    ...(typeof appProtocol === "string" && { appProtocol }),
  };
}

/** A protocol; TCP when unset; undefined when it is none. */
export function asProtocol(value: unknown): Protocol | undefined {
  const protocol = value ?? "TCP";
  return protocol === "TCP" || protocol === "UDP" || protocol === "SCTP" ? protocol : undefined;
}

function readNodePort({ spec, problems }: Head, value: unknown, field: string): number {
  if (value === undefined || value === null || value === 0) return 0;
  const port = asPort(value);
  const allowed = spec["type"] === "NodePort" || spec["type"] === "LoadBalancer";
  if (port !== undefined && allowed) return port;
  const want = allowed ? "a number, 1 to 65535" : "none unless type is NodePort or LoadBalancer";
  problems.add(field, `want ${want}: got ${formatValue(value)}`);
  return 0;
}

function readOptionalPort({ spec, problems }: Head, name: string): number {
  const value = spec[name];
  if (value === undefined || value === null || value === 0) return 0;
  const port = asPort(value);
  if (port !== undefined) return port;
  problems.add(`spec.${name}`, `want a number, 1 to 65535: got ${formatValue(value)}`);
  return 0;
}

/** Hostname-only entries and ipMode Proxy are left to the balancer itself. */
function readVips(head: Head): readonly string[] {
  const ingress = asList(asRecord(head.status["loadBalancer"])["ingress"]).map(asRecord);
  const served = ingress.filter(
    ({ ip, ipMode }) => asText(ip) !== "" && (ipMode ?? "VIP") === "VIP",
  );
  const ips = served.map(({ ip }) => ip);
  return readAddressList(head, "status.loadBalancer.ingress", ips);
}

function readSourceRanges({ spec, problems }: Head): readonly string[] | "unreadable" {
  const values = asList(spec["loadBalancerSourceRanges"]);
  const ranges = values.flatMap((value, i) => {
    const range = parseCidr(asText(value).trim());
    if (range !== undefined) return [range];
    const field = `spec.loadBalancerSourceRanges[${i}]`;
    problems.add(field, `want a prefix like 192.0.2.0/24: got ${formatValue(value)}`);
    return [];
  });
  return values.length > 0 && ranges.length === 0 ? "unreadable" : [...new Set(ranges)];
}

function readAffinitySeconds({ spec, problems }: Head): number | undefined {
  const affinity = spec["sessionAffinity"] ?? "None";
  if (affinity === "None") return undefined;
  if (affinity !== "ClientIP") {
    problems.add("spec.sessionAffinity", `want ClientIP or None: got ${formatValue(affinity)}`);
    return undefined;
  }
  const clientIP = asRecord(asRecord(spec["sessionAffinityConfig"])["clientIP"]);
  const seconds = clientIP["timeoutSeconds"] ?? DEFAULT_AFFINITY_SECONDS;
  const valid = Number.isInteger(seconds) && Number(seconds) > 0;
  if (valid && Number(seconds) <= MAX_AFFINITY_SECONDS) return Number(seconds);
  const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
  problems.add(field, `want 1 to ${MAX_AFFINITY_SECONDS} seconds: got ${formatValue(seconds)}`);
  return DEFAULT_AFFINITY_SECONDS;
}

function readPolicy({ spec, problems }: Head, name: string): TrafficPolicy {
  const policy = spec[name] ?? "Cluster";
  // An empty policy is how the API writes "does not apply".
  if (policy === "Cluster" || policy === "") return "Cluster";
  if (policy === "Local") return "Local";
  problems.add(`spec.${name}`, `want Cluster or Local: got ${formatValue(policy)}`);
  return "Cluster";
}
