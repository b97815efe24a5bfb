// What suites ask of the API server: the few verbs on the few kinds that Services consist of.
// The live cluster and the fake cluster stand behind the same words.

import type { Address } from "../../lib/ip/address.ts";
import type { EndpointSlice, Service } from "./api-objects.ts";

export interface ClusterNode {
  readonly name: string;
  /** InternalIPs, in the Node's order. */
  readonly addresses: readonly Address[];
  /** Label topology.kubernetes.io/zone. */
  readonly zone?: string;
}

export interface LoadBalancerIngress {
  readonly ip: Address;
  readonly ipMode?: "VIP" | "Proxy";
}

/** An object's changes in the sense of RFC 7396; null removes a field. */
export type MergePatch = Readonly<Record<string, unknown>>;

/** All objects live in the run's one namespace, and all that are created carry its label. */
export interface Cluster {
  /** Ready Nodes, sorted by name. */
  nodes(): Promise<readonly ClusterNode[]>;
  /** @returns the object with the addresses and ports it was given */
  createService(service: Service): Promise<Service>;
  patchService(name: string, patch: MergePatch): Promise<Service>;
  /** Writes the status that a load balancer's controller would write. */
  setIngress(name: string, ingress: readonly LoadBalancerIngress[]): Promise<void>;
  /** A missing one is fine. */
  deleteService(name: string): Promise<void>;
  /** Creates a slice, or replaces the one of this name. @returns what the server kept of it */
  putSlice(slice: EndpointSlice): Promise<EndpointSlice>;
  /** A missing one is fine. */
  deleteSlice(name: string): Promise<void>;
  /** Adds labels to a Pod; null removes one. */
  labelPod(name: string, labels: Readonly<Record<string, string | null>>): Promise<void>;
}

/** The API server refused an object for what it is: a case may take that as a reason to skip. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  /** HTTP status: 403 by admission or RBAC, 422 by validation. */
  readonly status: number;

  constructor(what: string, status: number, message: string, options?: ErrorOptions) {
    super(`Cannot ${what}: API server says ${status}: ${message}`, options);
    this.status = status;
  }
}
