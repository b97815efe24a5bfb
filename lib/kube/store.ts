// What every source fills and every planner reads: the newest objects, indexed, and which of them
// changed since the last look. No linear scan happens per event.

import type { EndpointSlice } from "./api/endpoint-slice.ts";
import type { Node } from "./api/node.ts";
import type { Service } from "./api/service.ts";
import type { ServiceCidr } from "./api/service-cidr.ts";

export type KubeObject = Service | EndpointSlice | Node | ServiceCidr;
export type Kind = KubeObject["kind"];

/** A cluster-wide key: `namespace/name`, or `name` for cluster-scoped kinds. */
export type ObjectKey = string;

/** An object that could not be read: what, where in it, and how to mend it. */
export interface Problem {
  /** e.g. `Service default/web` or `file services.yaml:12` */
  readonly object: string;
  /** e.g. `spec.ports[0].port` */
  readonly field: string;
  readonly message: string;
}

/** What changed since the last `takeChanges`. */
export interface StoreChanges {
  /** Keys of Services that changed themselves or whose slices changed. */
  readonly services: ReadonlySet<ObjectKey>;
  readonly node: boolean;
  readonly serviceCidrs: boolean;
}

export interface KubeStore {
  readonly services: ReadonlyMap<ObjectKey, Service>;
  /** Slices of one Service by slice name, both families; empty when there are none. */
  slicesOf(service: ObjectKey): ReadonlyMap<string, EndpointSlice>;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly serviceCidrs: ReadonlyMap<string, ServiceCidr>;
  /** True once every kind has had its first complete list; never false again. */
  readonly synced: boolean;
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
  /** Adds or replaces one object. A slice that moved to another Service marks both. */
  put(object: KubeObject): void;
  remove(kind: Kind, key: ObjectKey): void;
  /** Replaces all objects of one kind, marking only what differs, and counts the kind as listed. */
  replace(kind: Kind, objects: readonly KubeObject[]): void;
  /** Records or, with an empty list, clears what is wrong with one object or file. */
  report(subject: string, problems: readonly Problem[]): void;
  /** Returns and forgets the marks. */
  takeChanges(): StoreChanges;
  /** Calls `listener` after each change, never more than once per turn of the event loop. */
  onChange(listener: () => void): () => void;
}
