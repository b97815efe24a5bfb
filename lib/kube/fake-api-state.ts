// What a fake API server remembers: objects, their versions, and the history that watches replay.

import assert from "node:assert/strict";
import { asRecord, asText, type JsonRecord } from "./api/fields.ts";

export interface Change {
  readonly resourceVersion: number;
  readonly before: StoredObject | undefined;
  /** Undefined for a deletion. */
  readonly after: StoredObject | undefined;
}

export interface StoredObject {
  readonly key: string;
  readonly value: JsonRecord;
  /** `value` as JSON. */
  readonly text: string;
}

export interface ObjectRef {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** The collections served, by kind. */
export const COLLECTION_PATHS: Readonly<Record<string, string>> = {
  Service: "/api/v1/services",
  EndpointSlice: "/apis/discovery.k8s.io/v1/endpointslices",
  Node: "/api/v1/nodes",
  ServiceCIDR: "/apis/networking.k8s.io/v1/servicecidrs",
  Namespace: "/api/v1/namespaces",
  Pod: "/api/v1/pods",
  ServiceAccount: "/api/v1/serviceaccounts",
  HTTPRoute: "/apis/gateway.networking.k8s.io/v1/httproutes",
  GRPCRoute: "/apis/gateway.networking.k8s.io/v1/grpcroutes",
  TCPRoute: "/apis/gateway.networking.k8s.io/v1/tcproutes",
  TLSRoute: "/apis/gateway.networking.k8s.io/v1/tlsroutes",
  UDPRoute: "/apis/gateway.networking.k8s.io/v1/udproutes",
  ReferenceGrant: "/apis/gateway.networking.k8s.io/v1/referencegrants",
  NetworkPolicy: "/apis/networking.k8s.io/v1/networkpolicies",
  ClusterNetworkPolicy: "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
  ServiceAccountPolicy: "/apis/innermesh.io/v1alpha1/serviceaccountpolicies",
  MeshPolicy: "/apis/innermesh.io/v1alpha1/meshpolicies",
  Event: "/api/v1/events",
  XMesh: "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes",
  Lease: "/apis/coordination.k8s.io/v1/leases",
};

const CLUSTER_SCOPED = new Set(
  "Node ServiceCIDR XMesh Namespace ClusterNetworkPolicy MeshPolicy".split(" "),
);

export class FakeApiState {
  readonly #collections = new Map<string, Map<string, StoredObject>>();
  readonly #histories = new Map<string, Change[]>();
  readonly #listeners = new Set<(path: string, change: Change) => void>();
  #version = 1_000;
  #compactedAt = 0;
  #nextUid = 1;

  get version(): number {
    return this.#version;
  }

  /** Versions below this one can no longer be watched from. */
  get compactedAt(): number {
    return this.#compactedAt;
  }

  objects(path: string): ReadonlyMap<string, StoredObject> {
    return this.#collections.get(path) ?? new Map();
  }

  changesAfter(path: string, version: number): readonly Change[] {
    const history = this.#histories.get(path) ?? [];
    return history.filter((change) => change.resourceVersion > version);
  }

  onChange(listener: (path: string, change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Creates or updates; the uid lives as long as the object. */
  put(object: JsonRecord): JsonRecord {
    const kind = asText(object["kind"]);
    const metadata = asRecord(object["metadata"]);
    const namespace = CLUSTER_SCOPED.has(kind) ? {} : { namespace: "default" };
    const named = { ...namespace, ...metadata, name: asText(metadata["name"]) };
    const { path, key } = locate({ kind, ...named });
    const before = this.objects(path).get(key);
    const uid = before ? asRecord(before.value["metadata"])["uid"] : `uid-${this.#nextUid++}`;
    const creationTimestamp = "2026-01-01T00:00:00Z";
    const resourceVersion = `${++this.#version}`;
    const value = {
      ...object,
      metadata: { ...named, uid, resourceVersion, creationTimestamp },
    };
    this.#record(path, before, { key, value, text: JSON.stringify(value) });
    return value;
  }

  /** Deletes; an unknown object is a mistake in the test. */
  remove(ref: ObjectRef): void {
    const { path, key } = locate(ref);
    const before = this.objects(path).get(key);
    assert.ok(before, `${ref.kind} ${key} is not there to be removed`);
    this.#version++;
    this.#record(path, before, undefined);
  }

  /** Forgets the history, as etcd does when it is compacted. */
  compact(): void {
    this.#compactedAt = this.#version;
    this.#histories.clear();
  }

  /** Goes on counting from an older version, as an etcd restored from a backup does. */
  rewind(version: number): void {
    this.#version = version;
    this.#compactedAt = 0;
    this.#histories.clear();
    for (const [path, objects] of this.#collections) {
      this.#collections.set(path, new Map());
      for (const { value } of objects.values()) this.put(value);
    }
  }

  #record(path: string, before: StoredObject | undefined, after: StoredObject | undefined): void {
    const objects = this.#collections.get(path) ?? new Map<string, StoredObject>();
    this.#collections.set(path, objects);
    if (after !== undefined) objects.set(after.key, after);
    else if (before !== undefined) objects.delete(before.key);
    const change = { resourceVersion: this.#version, before, after };
    const history = this.#histories.get(path) ?? [];
    history.push(change);
    this.#histories.set(path, history);
    for (const listener of this.#listeners) listener(path, change);
  }
}

function locate({ kind, name, namespace }: ObjectRef): { path: string; key: string } {
  const path = COLLECTION_PATHS[kind];
  assert.ok(path, `the fake serves no ${kind}`);
  return { path, key: CLUSTER_SCOPED.has(kind) ? name : `${namespace ?? "default"}/${name}` };
}
