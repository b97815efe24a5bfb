// What every shared map should hold, who asked for it, and what differs from the kernel. Several
// Services may name one element: they share it when they agree; where they do not, the older
// Service has it and the other is told. A value holder: no I/O, no clock.

import { ElementDigest } from "../../lib/nft/digest.ts";
import type { Element, TableContents } from "../../lib/nft/objects.ts";
import type { PlannedElement } from "./service-plan.ts";

/** Who owns elements, ordered by right of way: the older Service, then the name. */
export interface Owner {
  /** `namespace/name`, or a word for what the node itself owns. */
  readonly name: string;
  readonly createdMs: number;
}

/** One key of one set: what the kernel has and what it should have. */
export interface ElementDifference {
  readonly before: Element | undefined;
  readonly after: Element | undefined;
}

/** By set name, then element key. */
export type Difference = ReadonlyMap<string, ReadonlyMap<string, ElementDifference>>;

/** Two owners named one element and disagree. */
export interface Conflict {
  readonly set: string;
  readonly key: string;
  readonly winner: string;
  readonly loser: string;
}

interface Claim {
  readonly owner: Owner;
  readonly element: Element;
}

/** All who ask for one element. Thousands do when their Services lead to the same pod. */
interface Claims {
  readonly byOwner: Map<string, Claim>;
  winner: Claim;
}

/** Sets whose keys more than one owner can name; the keys of all others carry an owned id. */
const SHARED_SETS: ReadonlySet<string> = new Set([
  "vips",
  "nodeports",
  "cluster-ips",
  "hairpin",
  "lane-vips",
  "lane-nodeports",
]);

export class ElementLedger {
  readonly #wanted = new Map<string, Map<string, Element>>();
  /** Of the sets whose digest was asked for; kept up to date from then on. */
  readonly #digests = new Map<string, ElementDigest>();
  readonly #claims = new Map<string, Claims>();
  /** Names of elements that more than one owner asks for, and may disagree on. */
  readonly #contested = new Set<string>();
  /** Undefined until somebody asks: at the start all is new, and noting each would cost twice. */
  #pending: Map<string, Map<string, ElementDifference>> | undefined;

  /** Replaces what one owner asks for. */
  replace(owner: Owner, before: readonly PlannedElement[], after: readonly PlannedElement[]): void {
    if (before.length === 0) {
      for (const element of after) this.#ask(owner, element);
      return;
    }
    const kept = new Map<string, PlannedElement>();
    for (const element of after) kept.set(`${element.set} ${element.key}`, element);
    for (const element of before) {
      const same = kept.get(`${element.set} ${element.key}`);
      if (same !== undefined && same.data === element.data && same.comment === element.comment) {
        kept.delete(`${element.set} ${element.key}`);
      } else if (SHARED_SETS.has(element.set)) {
        this.#unclaim(owner, element);
      } else if (same === undefined) {
        this.#want(element.set, element.key, undefined);
      }
    }
    for (const element of kept.values()) this.#ask(owner, element);
  }

  /** What the tables should hold, by set name and key. */
  get wanted(): ReadonlyMap<string, ReadonlyMap<string, Element>> {
    return this.#wanted;
  }

  /** The digest of what a set should hold. */
  digestOf(set: string): string {
    let digest = this.#digests.get(set);
    if (digest === undefined) {
      digest = new ElementDigest();
      for (const element of this.#wanted.get(set)?.values() ?? []) digest.add(element);
      this.#digests.set(set, digest);
    }
    return digest.toString();
  }

  /** Elements that are not as wanted by one of their claimants. */
  conflicts(): Conflict[] {
    const conflicts: Conflict[] = [];
    for (const name of this.#contested) {
      const claims = this.#claims.get(name);
      if (claims === undefined) continue;
      const { winner } = claims;
      const space = name.indexOf(" ");
      const [set, key] = [name.slice(0, space), name.slice(space + 1)];
      for (const { owner, element } of claims.byOwner.values()) {
        if (element.data === winner.element.data) continue;
        conflicts.push({ set, key, winner: winner.owner.name, loser: owner.name });
      }
    }
    return conflicts;
  }

  /** Returns and forgets the difference since the last call or `compare`; at first, to nothing. */
  takeDifference(): Difference {
    const taken = this.#pending ?? this.#differenceTo(undefined);
    this.#pending = new Map();
    return taken;
  }

  /** Starts over from what the kernel really holds: the pending difference becomes exact. */
  compare(contents: TableContents | undefined): void {
    this.#pending = this.#differenceTo(contents);
  }

  #differenceTo(contents: TableContents | undefined): Map<string, Map<string, ElementDifference>> {
    const difference = new Map<string, Map<string, ElementDifference>>();
    const names = new Set([...this.#wanted.keys(), ...(contents?.sets.keys() ?? [])]);
    for (const set of names) {
      const actual = contents?.sets.get(set) ?? new Map<string, Element>();
      const wanted = this.#wanted.get(set) ?? new Map<string, Element>();
      const differences = new Map<string, ElementDifference>();
      for (const [key, after] of wanted) {
        const before = actual.get(key);
        if (!sameElement(before, after)) differences.set(key, { before, after });
      }
      for (const [key, before] of actual) {
        if (!wanted.has(key)) differences.set(key, { before, after: undefined });
      }
      if (differences.size > 0) difference.set(set, differences);
    }
    return difference;
  }

  #ask(owner: Owner, element: PlannedElement): void {
    if (SHARED_SETS.has(element.set)) this.#claim(owner, element);
    else this.#want(element.set, element.key, element);
  }

  #claim(owner: Owner, element: PlannedElement): void {
    const name = `${element.set} ${element.key}`;
    const claim = { owner, element };
    const claims = this.#claims.get(name) ?? { byOwner: new Map<string, Claim>(), winner: claim };
    this.#claims.set(name, claims);
    claims.byOwner.set(owner.name, claim);
    const isWinner = claims.winner.owner.name === owner.name;
    if (isWinner || byRightOfWay(claim, claims.winner) < 0) claims.winner = claim;
    this.#settle(name, element, claims);
  }

  #unclaim(owner: Owner, element: PlannedElement): void {
    const name = `${element.set} ${element.key}`;
    const claims = this.#claims.get(name);
    if (claims === undefined || !claims.byOwner.delete(owner.name)) return;
    if (claims.winner.owner.name === owner.name) {
      const [first, ...others] = claims.byOwner.values();
      if (first === undefined) {
        this.#claims.delete(name);
        return this.#want(element.set, element.key, undefined);
      }
      claims.winner = others.reduce((a, b) => (byRightOfWay(b, a) < 0 ? b : a), first);
    }
    this.#settle(name, element, claims);
  }

  #settle(name: string, { set, key, data }: PlannedElement, claims: Claims): void {
    if (claims.byOwner.size > 1 && data !== undefined) this.#contested.add(name);
    else this.#contested.delete(name);
    this.#want(set, key, claims.winner.element);
  }

  #want(set: string, key: string, element: Element | undefined): void {
    let elements = this.#wanted.get(set);
    if (elements === undefined) this.#wanted.set(set, (elements = new Map()));
    const before = elements.get(key);
    if (sameElement(before, element)) return;
    if (element === undefined) elements.delete(key);
    else elements.set(key, element);
    const digest = this.#digests.get(set);
    if (before !== undefined) digest?.remove(before);
    if (element !== undefined) digest?.add(element);
    this.#record(set, key, before, element);
  }

  #record(set: string, key: string, before: Element | undefined, after: Element | undefined): void {
    if (this.#pending === undefined) return;
    let differences = this.#pending.get(set);
    if (differences === undefined) this.#pending.set(set, (differences = new Map()));
    const earlier = differences.get(key);
    const installed = earlier === undefined ? before : earlier.before;
    if (sameElement(installed, after)) differences.delete(key);
    else differences.set(key, { before: installed, after });
  }
}

function byRightOfWay({ owner: a }: Claim, { owner: b }: Claim): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  return a.name < b.name ? -1 : 1;
}

function sameElement(a: Element | undefined, b: Element | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.data === b.data && a.comment === b.comment;
}
