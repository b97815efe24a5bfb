// What every source fills and every planner reads: the newest objects, indexed, and which of them
// changed since the last look. No linear scan happens per event.

import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { EndpointSlice } from "./api/endpoint-slice.ts";
import type { Node } from "./api/node.ts";
import type { ObjectKey as ParsedKey, Problem as ParsedProblem } from "./api/parsed.ts";
import type { Service } from "./api/service.ts";
import type { ServiceCidr } from "./api/service-cidr.ts";
import { ObjectTable, type Versioned } from "./object-table.ts";

export type KubeObject = Service | EndpointSlice | Node | ServiceCidr;
export type Kind = KubeObject["kind"];

export type ObjectKey = ParsedKey;
export type Problem = ParsedProblem;

/** What changed since the last `takeChanges`. */
export interface StoreChanges {
  /** Keys of Services that changed themselves or whose slices changed. */
  readonly services: ReadonlySet<ObjectKey>;
  readonly node: boolean;
  readonly serviceCidrs: boolean;
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

class MemoryStore implements KubeStore {
  readonly #unlisted: Set<Kind>;
  readonly #slicesByService = new Map<ObjectKey, Map<string, EndpointSlice>>();
  readonly #problems = new Map<string, readonly Problem[]>();
  readonly #listeners = new Set<() => void>();
  #announced = false;
  #changedServices = new Set<ObjectKey>();
  #nodeChanged = false;
  #serviceCidrsChanged = false;
  #serviceEvents = 0;
  #sliceEvents = 0;

  readonly #services = new ObjectTable<Service>(keyOf, (before, after) => {
    for (const object of [before, after]) if (object) this.#changedServices.add(keyOf(object));
    this.#serviceEvents++;
    this.#announce();
  });
  readonly #slices = new ObjectTable<EndpointSlice>(keyOf, (before, after) => {
    this.#indexSlice(before, after);
    this.#sliceEvents++;
    this.#announce();
  });
  readonly #nodes = new ObjectTable<Node>(keyOf, (before, after) => {
    // Kubelets touch their Node every few minutes; what we read of it hardly ever changes.
    if (before && after && isDeepStrictEqual(before, withVersionOf(before, after))) return;
    this.#nodeChanged = true;
    this.#announce();
  });
  readonly #serviceCidrs = new ObjectTable<ServiceCidr>(keyOf, () => {
    this.#serviceCidrsChanged = true;
    this.#announce();
  });

  constructor(kinds: readonly Kind[]) {
    this.#unlisted = new Set(kinds);
  }

  get services(): ReadonlyMap<ObjectKey, Service> {
    return this.#services.objects;
  }

  get nodes(): ReadonlyMap<string, Node> {
    return this.#nodes.objects;
  }

  get serviceCidrs(): ReadonlyMap<string, ServiceCidr> {
    return this.#serviceCidrs.objects;
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
    switch (object.kind) {
      case "Service":
        return this.#services.put(object);
      case "EndpointSlice":
        return this.#slices.put(object);
      case "Node":
        return this.#nodes.put(object);
      case "ServiceCIDR":
        return this.#serviceCidrs.put(object);
      default:
        return object satisfies never;
    }
  }

  remove(kind: Kind, key: ObjectKey, at?: Versioned): void {
    switch (kind) {
      case "Service":
        return this.#services.remove(key, at);
      case "EndpointSlice":
        return this.#slices.remove(key, at);
      case "Node":
        return this.#nodes.remove(key, at);
      case "ServiceCIDR":
        return this.#serviceCidrs.remove(key, at);
      default:
        return kind satisfies never;
    }
  }

  replace(kind: Kind, objects: readonly KubeObject[], keep = NO_KEYS): void {
    switch (kind) {
      case "Service":
        this.#services.replace(ofKind(objects, "Service"), keep);
        break;
      case "EndpointSlice":
        this.#slices.replace(ofKind(objects, "EndpointSlice"), keep);
        break;
      case "Node":
        this.#nodes.replace(ofKind(objects, "Node"), keep);
        break;
      case "ServiceCIDR":
        this.#serviceCidrs.replace(ofKind(objects, "ServiceCIDR"), keep);
        break;
      default:
        kind satisfies never;
    }
    if (this.#unlisted.delete(kind)) this.#announce();
  }

  report(subject: string, problems: readonly Problem[]): void {
    if (isDeepStrictEqual(this.#problems.get(subject) ?? [], problems)) return;
    if (problems.length === 0) this.#problems.delete(subject);
    else this.#problems.set(subject, problems);
    this.#announce();
  }

  takeChanges(): StoreChanges {
    const changes: StoreChanges = {
      services: this.#changedServices,
      node: this.#nodeChanged,
      serviceCidrs: this.#serviceCidrsChanged,
      serviceEvents: this.#serviceEvents,
      sliceEvents: this.#sliceEvents,
    };
    this.#changedServices = new Set();
    this.#nodeChanged = false;
    this.#serviceCidrsChanged = false;
    this.#serviceEvents = 0;
    this.#sliceEvents = 0;
    return changes;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
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

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    setImmediate(() => {
      this.#announced = false;
      for (const listener of this.#listeners) listener();
    });
  }
}

function ofKind<K extends Kind>(
  objects: readonly KubeObject[],
  kind: K,
): readonly Extract<KubeObject, { kind: K }>[] {
  return objects.filter((object): object is Extract<KubeObject, { kind: K }> => {
    assert.equal(object.kind, kind, "a list holds objects of one kind");
    return true;
  });
}

function withVersionOf(from: Node, node: Node): Node {
  return { ...node, resourceVersion: from.resourceVersion };
}
