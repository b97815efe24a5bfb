// Who called whom on a node, as it is told and kept in files: pods stand once, edges name them by
// their place.

import type { ContainerPort } from "../../lib/kube/api/pod.ts";

export interface EdgeReport {
  readonly node: string;
  readonly pods: readonly EdgePod[];
  /** Those seen last stand last. */
  readonly edges: readonly RecordedEdge[];
}

/** A pod as policies see it, as it was then. */
export interface EdgePod {
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly ContainerPort[];
}

export interface RecordedEdge {
  readonly client: EdgeEnd;
  readonly server: EdgeEnd;
  readonly protocol: "TCP" | "UDP";
  /** The server's own. */
  readonly port: number;
  /** A tunnel carried it. */
  readonly isProven: boolean;
  /** Wall time, milliseconds since 1970. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Connections; for those that came and went between two looks, none. */
  readonly count: number;
  /** The last few that a worker saw, the newest last; missing where none reads them. */
  readonly requests?: readonly RecordedRequest[];
  /** There were others. */
  readonly hasMoreRequests?: boolean;
}

/** What is kept of a request: of gRPC, service and method are the path. */
export interface RecordedRequest {
  readonly method: string;
  /** Lower-case, without a port. */
  readonly host: string;
  /** As rules see it: normalised, without its query. */
  readonly path: string;
}

/** What a worker saw of one client and one endpoint. */
export interface SeenRequests {
  readonly client: string;
  /** `address:port` of the pod */
  readonly endpoint: string;
  readonly requests: readonly RecordedRequest[];
  readonly hasMore: boolean;
}

export interface EdgeEnd {
  /** The last one met. */
  readonly address: string;
  /** Place in `pods`; missing where no pod has the address. */
  readonly pod?: number;
  readonly node?: string;
}

/** Reads what a node said, or a file made of it. Never throws; a text says what is wrong. */
export function parseEdgeReport(value: unknown): EdgeReport | string {
  if (!isRecord(value)) return "want an object";
  const { node, pods, edges } = value;
  if (typeof node !== "string") return "want a node's name";
  if (!Array.isArray(pods) || !pods.every(isPod)) return "want a list of pods";
  if (!Array.isArray(edges)) return "want a list of edges";
  const isEdge = (edge: unknown): edge is RecordedEdge => isEdgeAmong(edge, pods.length);
  return edges.every(isEdge) ? { node, pods, edges } : "want edges between ends that are listed";
}

function isPod(value: unknown): value is EdgePod {
  if (!isRecord(value)) return false;
  const { namespace, name, nodeName, serviceAccount, labels, ports } = value;
  return (
    [namespace, name, nodeName, serviceAccount].every((text) => typeof text === "string") &&
    isRecord(labels) &&
    Object.values(labels).every((text) => typeof text === "string") &&
    Array.isArray(ports) &&
    ports.every(isPort)
  );
}

function isPort(value: unknown): value is ContainerPort {
  if (!isRecord(value)) return false;
  const { name, protocol, port } = value;
  return typeof name === "string" && typeof protocol === "string" && typeof port === "number";
}

function isEdgeAmong(value: unknown, pods: number): value is RecordedEdge {
  if (!isRecord(value)) return false;
  const { client, server, protocol, isProven, requests, hasMoreRequests, ...numbers } = value;
  return (
    [client, server].every((end) => isEnd(end, pods)) &&
    (protocol === "TCP" || protocol === "UDP") &&
    typeof isProven === "boolean" &&
    (requests === undefined || (Array.isArray(requests) && requests.every(isRequest))) &&
    ["undefined", "boolean"].includes(typeof hasMoreRequests) &&
    ["port", "firstMs", "lastMs", "count"].every((name) => typeof numbers[name] === "number")
  );
}

function isRequest(value: unknown): value is RecordedRequest {
  if (!isRecord(value)) return false;
  return ["method", "host", "path"].every((name) => typeof value[name] === "string");
}

function isEnd(value: unknown, pods: number): value is EdgeEnd {
  if (!isRecord(value)) return false;
  const { address, pod, node } = value;
  const isPlace = typeof pod === "number" && Number.isInteger(pod) && pod >= 0 && pod < pods;
  return (
    typeof address === "string" &&
    (pod === undefined || isPlace) &&
    (node === undefined || typeof node === "string")
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
