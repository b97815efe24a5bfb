// What every source fills and every planner reads: the newest objects, indexed, and which of them
// changed since the last look. No linear scan happens per event.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { ClusterNetworkPolicy } from "./api/cluster-network-policy.ts";
import type { ConfigMap } from "./api/config-map.ts";
import type { EndpointSlice } from "./api/endpoint-slice.ts";
import type { GrpcRoute } from "./api/grpc-route.ts";
import type { HttpRoute } from "./api/http-route.ts";
import type { MeshPolicy } from "./api/mesh-policy.ts";
import type { Namespace } from "./api/namespace.ts";
import type { NetworkPolicy } from "./api/network-policy.ts";
import type { Node } from "./api/node.ts";
import type { ObjectKey as ParsedKey, Problem as ParsedProblem } from "./api/parsed.ts";
import type { Pod } from "./api/pod.ts";
import type { ReferenceGrant } from "./api/reference-grant.ts";
import type { Service } from "./api/service.ts";
import type { ServiceAccount } from "./api/service-account.ts";
import type { ServiceAccountPolicy } from "./api/service-account-policy.ts";
import type { ServiceCidr } from "./api/service-cidr.ts";
import type { TcpRoute } from "./api/tcp-route.ts";
import type { TlsRoute } from "./api/tls-route.ts";
import type { UdpRoute } from "./api/udp-route.ts";
import type { XMesh } from "./api/x-mesh.ts";
import { ObjectTable, type Versioned } from "./object-table.ts";

export type KubeObject =
  | Service
  | EndpointSlice
  | Node
  | ServiceCidr
  | Namespace
  | Pod
  | ServiceAccount
  | ConfigMap
  | HttpRoute
  | GrpcRoute
  | TcpRoute
  | TlsRoute
  | UdpRoute
  | ReferenceGrant
  | XMesh
  | NetworkPolicy
  | ClusterNetworkPolicy
  | ServiceAccountPolicy
  | MeshPolicy;
export type Kind = KubeObject["kind"];

export type ObjectKey = ParsedKey;
export type Problem = ParsedProblem;

/** What changed since the last `takeChanges`. */
export interface StoreChanges {
  /** Keys of Services that changed themselves or whose slices changed. */
  readonly services: ReadonlySet<ObjectKey>;
  readonly node: boolean;
  readonly serviceCidrs: boolean;
  readonly namespaces: boolean;
  readonly pods: boolean;
  /** Any route, and any ReferenceGrant. */
  readonly routes: boolean;
  /** How often Services were added, changed or removed. */
  readonly serviceEvents: number;
  /** The same of EndpointSlices. */
  readonly sliceEvents: number;
}

export interface KubeStore {
  readonly services: ReadonlyMap<ObjectKey, Service>;
  /** Slices of one Service by slice name, both families; empty when there are none. */
  slicesOf(service: ObjectKey): ReadonlyMap<string, EndpointSlice>;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly serviceCidrs: ReadonlyMap<string, ServiceCidr>;
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly pods: ReadonlyMap<ObjectKey, Pod>;
  readonly serviceAccounts: ReadonlyMap<ObjectKey, ServiceAccount>;
  readonly configMaps: ReadonlyMap<ObjectKey, ConfigMap>;
  readonly httpRoutes: ReadonlyMap<ObjectKey, HttpRoute>;
  readonly grpcRoutes: ReadonlyMap<ObjectKey, GrpcRoute>;
  readonly tcpRoutes: ReadonlyMap<ObjectKey, TcpRoute>;
  readonly tlsRoutes: ReadonlyMap<ObjectKey, TlsRoute>;
  readonly udpRoutes: ReadonlyMap<ObjectKey, UdpRoute>;
  readonly referenceGrants: ReadonlyMap<ObjectKey, ReferenceGrant>;
  readonly xMeshes: ReadonlyMap<ObjectKey, XMesh>;
  readonly networkPolicies: ReadonlyMap<ObjectKey, NetworkPolicy>;
  readonly clusterNetworkPolicies: ReadonlyMap<string, ClusterNetworkPolicy>;
  readonly serviceAccountPolicies: ReadonlyMap<ObjectKey, ServiceAccountPolicy>;
  readonly meshPolicies: ReadonlyMap<string, MeshPolicy>;
  /** True once every kind has had its first complete list; never false again. */
  readonly synced: boolean;
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /**
   * Adds or replaces one object, unless what is known is as new or newer: events may come twice
   * or out of order. A slice that moved to another Service marks both.
   */
  put(object: KubeObject): void;
  /** @param at the deleted object's last form; a deletion older than what is known is dropped */
  remove(kind: Kind, key: ObjectKey, at?: Versioned): void;
  /**
   * Replaces all objects of one kind, marking only what differs, and counts the kind as listed.
   * The list is the truth, even where it is older than what was known.
   * @param keep keys whose present object stays: those listed in a form that cannot be read
   */
  replace(kind: Kind, objects: readonly KubeObject[], keep?: ReadonlySet<ObjectKey>): void;
  /** Records or, with an empty list, clears what is wrong with one object or file. */
  report(subject: string, problems: readonly Problem[]): void;
  /**
   * How often objects of a kind changed. For readers beside the one that takes the marks: the same
   * number twice means that nothing changed in between.
   */
  revisionOf(kind: Kind): number;
  /** Marks Services as changed, for what is decided about them elsewhere changed. */
  touch(services: Iterable<ObjectKey>): void;
  /** Returns and forgets the marks. */
  takeChanges(): StoreChanges;
  /** Calls `listener` after each change, never more than once per turn of the event loop. */
  onChange(listener: () => void): () => void;
}

/** The key of an object among those of its kind. */
export function keyOf(object: KubeObject): ObjectKey {
  return "namespace" in object ? `${object.namespace}/${object.name}` : object.name;
}

/** @param kinds what must be listed before the store counts as synced */
export function makeStore(kinds: readonly Kind[]): KubeStore {
  return new MemoryStore(kinds);
}

const NO_SLICES: ReadonlyMap<string, EndpointSlice> = new Map();
const NO_KEYS: ReadonlySet<ObjectKey> = new Set();
/** Kinds that say how requests are routed. */
export const ROUTE_KINDS: readonly Kind[] = [
  "HTTPRoute",
  "GRPCRoute",
  "TCPRoute",
  "TLSRoute",
  "UDPRoute",
  "ReferenceGrant",
];

type ObjectOf<K extends Kind> = Extract<KubeObject, { kind: K }>;

type Tables = { readonly [K in Kind]: ObjectTable<ObjectOf<K>> };

class MemoryStore implements KubeStore {
  readonly #unlisted: Set<Kind>;
  readonly #slicesByService = new Map<ObjectKey, Map<string, EndpointSlice>>();
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #listeners = new Set<() => void>();
  #announced = false;
  #changedServices = new Set<ObjectKey>();
  /** Kinds beside Services and slices that changed. */
  #changedKinds = new Set<Kind>();
  readonly #revisions = new Map<Kind, number>();
  #serviceEvents = 0;
  #sliceEvents = 0;

  readonly #tables: Tables = {
    Service: new ObjectTable<Service>(keyOf, (before, after) => {
      for (const object of [before, after]) if (object) this.#changedServices.add(keyOf(object));
      this.#serviceEvents++;
      this.#noteChange("Service");
    }),
    EndpointSlice: new ObjectTable<EndpointSlice>(keyOf, (before, after) => {
      this.#indexSlice(before, after);
      this.#sliceEvents++;
      this.#noteChange("EndpointSlice");
    }),
    Node: this.#makeTable("Node"),
    ServiceCIDR: this.#makeTable("ServiceCIDR"),
    Namespace: this.#makeTable("Namespace"),
    Pod: this.#makeTable("Pod"),
    ServiceAccount: this.#makeTable("ServiceAccount"),
    ConfigMap: this.#makeTable("ConfigMap"),
    HTTPRoute: this.#makeTable("HTTPRoute"),
    GRPCRoute: this.#makeTable("GRPCRoute"),
    TCPRoute: this.#makeTable("TCPRoute"),
    TLSRoute: this.#makeTable("TLSRoute"),
    UDPRoute: this.#makeTable("UDPRoute"),
    ReferenceGrant: this.#makeTable("ReferenceGrant"),
    XMesh: this.#makeTable("XMesh"),
    NetworkPolicy: this.#makeTable("NetworkPolicy"),
    ClusterNetworkPolicy: this.#makeTable("ClusterNetworkPolicy"),
    ServiceAccountPolicy: this.#makeTable("ServiceAccountPolicy"),
    MeshPolicy: this.#makeTable("MeshPolicy"),
  };
  readonly services = this.#tables.Service.objects;
  readonly nodes = this.#tables.Node.objects;
  readonly serviceCidrs = this.#tables.ServiceCIDR.objects;
  readonly namespaces = this.#tables.Namespace.objects;
  readonly pods = this.#tables.Pod.objects;
  readonly serviceAccounts = this.#tables.ServiceAccount.objects;
  readonly configMaps = this.#tables.ConfigMap.objects;
  readonly httpRoutes = this.#tables.HTTPRoute.objects;
  readonly grpcRoutes = this.#tables.GRPCRoute.objects;
  readonly tcpRoutes = this.#tables.TCPRoute.objects;
  readonly tlsRoutes = this.#tables.TLSRoute.objects;
  readonly udpRoutes = this.#tables.UDPRoute.objects;
  readonly referenceGrants = this.#tables.ReferenceGrant.objects;
  readonly xMeshes = this.#tables.XMesh.objects;
  readonly networkPolicies = this.#tables.NetworkPolicy.objects;
  readonly clusterNetworkPolicies = this.#tables.ClusterNetworkPolicy.objects;
  readonly serviceAccountPolicies = this.#tables.ServiceAccountPolicy.objects;
  readonly meshPolicies = this.#tables.MeshPolicy.objects;

  constructor(kinds: readonly Kind[]) {
    this.#unlisted = new Set(kinds);
  }

  get synced(): boolean {
    return this.#unlisted.size === 0;
  }

  get problems(): ReadonlyMap<string, readonly Problem[]> {
    return this.#problems;
  }

  slicesOf(service: ObjectKey): ReadonlyMap<string, EndpointSlice> {
    return this.#slicesByService.get(service) ?? NO_SLICES;
  }

  put(object: KubeObject): void {
    this.#put(object.kind, object);
  }

  remove(kind: Kind, key: ObjectKey, at?: Versioned): void {
    this.#tables[kind].remove(key, at);
  }

  replace(kind: Kind, objects: readonly KubeObject[], keep = NO_KEYS): void {
    this.#replace(kind, objects, keep);
    if (this.#unlisted.delete(kind)) this.#announce();
  }

  report(subject: string, problems: readonly Problem[]): void {
    if (isDeepStrictEqual(this.#problems.get(subject) ?? [], problems)) return;
    if (problems.length === 0) this.#problems.delete(subject);
    else this.#problems.set(subject, problems);
    this.#announce();
  }

  touch(services: Iterable<ObjectKey>): void {
    for (const service of services) this.#changedServices.add(service);
    this.#announce();
  }

  revisionOf(kind: Kind): number {
    return this.#revisions.get(kind) ?? 0;
  }

  takeChanges(): StoreChanges {
    const kinds = this.#changedKinds;
    const changes: StoreChanges = {
      services: this.#changedServices,
      node: kinds.has("Node"),
      serviceCidrs: kinds.has("ServiceCIDR"),
      namespaces: kinds.has("Namespace"),
      pods: kinds.has("Pod"),
      routes: ROUTE_KINDS.some((kind) => kinds.has(kind)),
      serviceEvents: this.#serviceEvents,
      sliceEvents: this.#sliceEvents,
    };
    this.#changedServices = new Set();
    this.#changedKinds = new Set();
    this.#serviceEvents = 0;
    this.#sliceEvents = 0;
    return changes;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A table whose changes are marked by kind only. */
  #makeTable<K extends Kind>(kind: K): ObjectTable<ObjectOf<K>> {
    return new ObjectTable<ObjectOf<K>>(keyOf, (before, after) => {
      // Kubelets touch their Node every few minutes, and controllers the status of every route;
      // what we read of them hardly ever changes.
      if (before && after && isDeepStrictEqual(before, withVersionOf(before, after))) return;
      this.#changedKinds.add(kind);
      this.#noteChange(kind);
    });
  }

  #put<K extends Kind>(kind: K, object: KubeObject): void {
    assert.ok(isOfKind(object, kind));
    this.#tables[kind].put(object);
  }

  #replace<K extends Kind>(
    kind: K,
    objects: readonly KubeObject[],
    keep: ReadonlySet<ObjectKey>,
  ): void {
    const ofKind = objects.filter((object): object is ObjectOf<K> => {
      assert.ok(isOfKind(object, kind), "a list holds objects of one kind");
      return true;
    });
    this.#tables[kind].replace(ofKind, keep);
  }

  #indexSlice(before: EndpointSlice | undefined, after: EndpointSlice | undefined): void {
    if (before !== undefined && before.serviceName !== after?.serviceName) {
      const service = `${before.namespace}/${before.serviceName}`;
      const slices = this.#slicesByService.get(service);
      slices?.delete(before.name);
      if (slices?.size === 0) this.#slicesByService.delete(service);
      this.#changedServices.add(service);
    }
    if (after === undefined) return;
    const service = `${after.namespace}/${after.serviceName}`;
    const slices = this.#slicesByService.get(service);
    if (slices === undefined) this.#slicesByService.set(service, new Map([[after.name, after]]));
    else slices.set(after.name, after);
    this.#changedServices.add(service);
  }

  #noteChange(kind: Kind): void {
    this.#revisions.set(kind, this.revisionOf(kind) + 1);
    this.#announce();
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    setImmediate(() => {
      this.#announced = false;
      for (const listener of this.#listeners) listener();
    });
  }
}

function isOfKind<K extends Kind>(object: KubeObject, kind: K): object is ObjectOf<K> {
  return object.kind === kind;
}

function withVersionOf<T extends Versioned>(from: T, object: T): T {
  return { ...object, resourceVersion: from.resourceVersion };
}
