// The newest objects of one kind. Knows that events may come twice, late or in the wrong order,
// and lets no object go back in time; only a complete list may say that time went back.

import { isDeepStrictEqual } from "node:util";
import type { ObjectKey } from "./api/parsed.ts";
import { compareResourceVersions, isOlder } from "./resource-version.ts";

export interface Versioned {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Deleted objects remembered, so that a late event cannot bring one back. */
export const MAX_TOMBSTONES = 4_096;

/** Called once for each real change; at least one of the two is given. */
export type OnTableChange<T> = (before: T | undefined, after: T | undefined) => void;

export class ObjectTable<T extends Versioned> {
  readonly #objects = new Map<ObjectKey, T>();
  /** uid → resourceVersion of the deletion, oldest first. */
  readonly #tombstones = new Map<string, string>();
  readonly #keyOf: (object: T) => ObjectKey;
  readonly #onChange: OnTableChange<T>;

  constructor(keyOf: (object: T) => ObjectKey, onChange: OnTableChange<T>) {
    this.#keyOf = keyOf;
    this.#onChange = onChange;
  }

  get objects(): ReadonlyMap<ObjectKey, T> {
    return this.#objects;
  }

  /** Adds or replaces, unless what is known is at least as new. */
  put(object: T): void {
    const key = this.#keyOf(object);
    const before = this.#objects.get(key);
    if (this.#isStale(object, before)) return;
    this.#objects.set(key, object);
    this.#onChange(before, object);
  }

  /** @param at the deleted object's last form; without it the deletion is taken as newest */
  remove(key: ObjectKey, at?: Versioned): void {
    const before = this.#objects.get(key);
    if (at !== undefined) {
      if (before !== undefined && isOlder(at.resourceVersion, before.resourceVersion)) return;
      this.#bury(at);
    }
    if (!this.#objects.delete(key)) return;
    this.#onChange(before, undefined);
  }

  /**
   * Takes a complete list as the truth, even where it is older: an etcd restored from a backup
   * goes back in time. Objects that did not change keep their identity (`===`).
   * @param keep keys whose present object stays although the list lacks it
   */
  replace(objects: readonly T[], keep: ReadonlySet<ObjectKey>): void {
    this.#tombstones.clear();
    const listed = new Set<ObjectKey>();
    for (const object of objects) {
      const key = this.#keyOf(object);
      listed.add(key);
      const before = this.#objects.get(key);
      if (before !== undefined && isSame(before, object)) continue;
      this.#objects.set(key, object);
      this.#onChange(before, object);
    }
    for (const [key, before] of this.#objects) {
      if (listed.has(key) || keep.has(key)) continue;
      this.#objects.delete(key);
      this.#onChange(before, undefined);
    }
  }

  #isStale(object: T, before: T | undefined): boolean {
    const deletedAt = this.#tombstones.get(object.uid);
    if (deletedAt !== undefined && !isOlder(deletedAt, object.resourceVersion)) return true;
    if (before === undefined) return false;
    // Also across uids: versions of one resource are one sequence, so a lower one of another uid
    // is the object's former life.
    const order = compareResourceVersions(object.resourceVersion, before.resourceVersion);
    return order === undefined ? isDeepStrictEqual(before, object) : order <= 0;
  }

  #bury({ uid, resourceVersion }: Versioned): void {
    if (uid === "") return;
    this.#tombstones.set(uid, resourceVersion);
    if (this.#tombstones.size <= MAX_TOMBSTONES) return;
    for (const oldest of this.#tombstones.keys()) {
      this.#tombstones.delete(oldest);
      return;
    }
  }
}

function isSame(a: Versioned, b: Versioned): boolean {
  if (a === b) return true;
  if (a.resourceVersion === "" || b.resourceVersion === "") return isDeepStrictEqual(a, b);
  return a.uid === b.uid && a.resourceVersion === b.resourceVersion;
}
