// Which id each endpoint set has in the kernel, and which endpoint stands at which position in it.
// Ids and positions are kept across changes and restarts: a change then touches a handful of
// elements, and a client's affinity outlives the agent. A value holder: no I/O, no clock.

import type { TableContents } from "../../lib/nft/objects.ts";
import { formatPriority, parsePriority } from "../../lib/nft/priority.ts";

/** Ids of sets with affinity have this bit; their low half is the endpoint's own number. */
const AFFINITY_BIT = 0x8000_0000;
const MAXIMUM_AFFINITY_SETS = 0x7fff;
const MAXIMUM_AFFINITY_ENDPOINTS = 0xffff;

/** An endpoint set as the kernel holds it. */
export interface PlacedSet {
  readonly id: number;
  /** Position → `address . port`, dense. */
  readonly targets: readonly string[];
  /** `address . port` → number of that endpoint within its set, 1–65535; affinity sets only. */
  readonly numbers: ReadonlyMap<string, number>;
}

interface Entry {
  readonly id: number;
  targets: string[];
  readonly numbers: Map<string, number>;
  nextNumber: number;
}

export class SetBook {
  readonly #entries = new Map<string, Entry>();
  readonly #ids = new Set<number>();
  #nextId = 1;
  #nextMajor = 1;

  /**
   * Places targets in the set of that name: those that were there keep their positions, a gap is
   * filled from the end. A target that is given twice gets two positions.
   * @param name see `setName`
   */
  placePlain(name: string, targets: readonly string[]): PlacedSet {
    const entry = this.#entry(name, () => this.#newId());
    entry.targets = arrange(entry.targets, targets);
    return entry;
  }

  /**
   * The same for a set with affinity, whose endpoints also have numbers of their own, and one
   * position each: there, weights are not kept.
   * @returns undefined when there is no room: 32,767 sets with affinity, 65,535 endpoints in one
   */
  placeSticky(name: string, targets: readonly string[]): PlacedSet | undefined {
    if (targets.length > MAXIMUM_AFFINITY_ENDPOINTS) return undefined;
    const id = this.#entries.get(name)?.id ?? this.#newAffinityId();
    if (id === undefined) return undefined;
    const entry = this.#entry(name, () => id);
    entry.targets = arrange(entry.targets, [...new Set(targets)]);
    number(entry);
    return entry;
  }

  /** The id of a name without endpoints of its own: an external entry point. */
  idOf(name: string): number {
    return this.#entry(name, () => this.#newId()).id;
  }

  release(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#ids.delete(entry.id);
  }

  /** Takes over what an earlier run left in the kernel: names are the comments of the elements. */
  recover(contents: TableContents): void {
    const byId = new Map<string, Entry>();
    for (const setName of ["esets", "ext"]) {
      for (const { key, comment } of contents.sets.get(setName)?.values() ?? []) {
        const id = parsePriority(key);
        if (comment === undefined || this.#ids.has(id)) continue;
        const entry: Entry = { id, targets: [], numbers: new Map(), nextNumber: 1 };
        this.#entries.set(comment, entry);
        this.#ids.add(id);
        byId.set(key, entry);
        if (id < AFFINITY_BIT) this.#nextId = Math.max(this.#nextId, id + 1);
        else this.#nextMajor = Math.max(this.#nextMajor, ((id >>> 16) & 0x7fff) + 1);
      }
    }
    this.#recoverPositions(contents, byId);
    for (const entry of byId.values()) entry.targets = entry.targets.filter((t) => t !== undefined);
  }

  #recoverPositions(contents: TableContents, byId: ReadonlyMap<string, Entry>): void {
    for (const { key, data } of contents.sets.get("endpoints")?.values() ?? []) {
      const [id = "", position = ""] = key.split(" . ");
      const entry = byId.get(id);
      if (entry !== undefined && data !== undefined) entry.targets[Number(position)] = data;
    }
    const targetOf = new Map<string, string>();
    for (const { key, data } of contents.sets.get("aff-ep")?.values() ?? []) {
      const value = parsePriority(key);
      const entry = byId.get(formatPriority((value & 0xffff_0000) >>> 0));
      if (entry === undefined || data === undefined) continue;
      entry.numbers.set(data, value & 0xffff);
      entry.nextNumber = Math.max(entry.nextNumber, (value & 0xffff) + 1);
      targetOf.set(key, data);
    }
    for (const { key, data } of contents.sets.get("aff-choice")?.values() ?? []) {
      const [id = "", position = ""] = key.split(" . ");
      const target = targetOf.get(data ?? "");
      const entry = byId.get(id);
      if (entry !== undefined && target !== undefined) entry.targets[Number(position)] = target;
    }
  }

  #entry(name: string, newId: () => number): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { id: newId(), targets: [], numbers: new Map(), nextNumber: 1 };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  #newId(): number {
    while (this.#nextId === 0 || this.#ids.has(this.#nextId)) {
      this.#nextId = (this.#nextId + 1) % AFFINITY_BIT;
    }
    this.#ids.add(this.#nextId);
    return this.#nextId;
  }

  #newAffinityId(): number | undefined {
    for (let tries = 0; tries <= MAXIMUM_AFFINITY_SETS; tries++) {
      const major = this.#nextMajor;
      this.#nextMajor = (major % MAXIMUM_AFFINITY_SETS) + 1;
      const id = (AFFINITY_BIT | (major << 16)) >>> 0;
      if (this.#ids.has(id)) continue;
      this.#ids.add(id);
      return id;
    }
    return undefined;
  }
}

/** The name of an endpoint set or external entry point; what `nft list` shows beside its id. */
export function setName(
  service: string,
  port: { readonly name: string; readonly port: number; readonly protocol: string },
  role: "cluster" | "local" | "external" | "balancer" | "cluster-affinity" | "local-affinity",
): string {
  const name = port.name === "" ? String(port.port) : port.name;
  return shorten(`${service}:${name}/${port.protocol.toLowerCase()} ${role}`);
}

/** Fits nft's 127 bytes for a comment; what is cut is replaced by a hash of the whole. */
function shorten(text: string): string {
  if (text.length <= 120) return text;
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n);
  }
  return `${text.slice(0, 103)}~${hash.toString(16).padStart(16, "0")}`;
}

function arrange(before: readonly string[], wanted: readonly string[]): string[] {
  if (before.length === 0) return [...wanted];
  const missing = new Map<string, number>();
  for (const target of wanted) missing.set(target, (missing.get(target) ?? 0) + 1);
  const kept = before.map((target) => {
    const times = missing.get(target) ?? 0;
    missing.set(target, times - 1);
    return times > 0 ? target : undefined;
  });
  const fresh = [...missing].flatMap(([target, times]) =>
    Array<string>(Math.max(0, times)).fill(target),
  );
  const result: (string | undefined)[] = kept;
  for (let i = 0; i < result.length; i++) {
    if (result[i] === undefined && fresh.length > 0) result[i] = fresh.shift();
  }
  result.push(...fresh);
  for (let i = 0; i < result.length; i++) {
    while (result.length > 0 && result.at(-1) === undefined) result.pop();
    if (i < result.length && result[i] === undefined) result[i] = result.pop();
  }
  return result.filter((target) => target !== undefined);
}

function number(entry: Entry): void {
  const wanted = new Set(entry.targets);
  for (const target of entry.numbers.keys()) {
    if (!wanted.has(target)) entry.numbers.delete(target);
  }
  const used = new Set(entry.numbers.values());
  for (const target of entry.targets) {
    if (entry.numbers.has(target)) continue;
    while (entry.nextNumber > MAXIMUM_AFFINITY_ENDPOINTS || used.has(entry.nextNumber)) {
      entry.nextNumber = (entry.nextNumber % MAXIMUM_AFFINITY_ENDPOINTS) + 1;
    }
    entry.numbers.set(target, entry.nextNumber);
    used.add(entry.nextNumber);
    entry.nextNumber++;
  }
}
