// Values by key that others are to be told of, and those they were told: what is new is told before
// it is needed, what is gone is taken back after. A value holder: no I/O, no clock.

export type Told<V> = readonly (readonly [string, V | null])[];

export class LedgerTable<V> {
  wanted: ReadonlyMap<string, V> = new Map();
  readonly #told = new Map<string, V>();
  readonly #isSame: (a: V, b: V) => boolean;
  readonly #isSameOwner: (a: V, b: V) => boolean;
  /** What was looked at last, so that maps that did not change cost nothing. */
  #fresh: ReadonlyMap<string, V> | undefined;
  #gone: ReadonlyMap<string, V> | undefined;

  /** @param isSameOwner where it is not, the old value is told as gone before the new one */
  constructor(isSame: (a: V, b: V) => boolean, isSameOwner: (a: V, b: V) => boolean = () => true) {
    this.#isSame = isSame;
    this.#isSameOwner = isSameOwner;
  }

  takeFresh(): Told<V> {
    if (this.wanted === this.#fresh) return [];
    this.#fresh = this.wanted;
    const delta: (readonly [string, V | null])[] = [];
    for (const [key, value] of this.wanted) {
      const told = this.#told.get(key);
      if (told === value) continue;
      this.#told.set(key, value);
      const isOthers = told !== undefined && !this.#isSameOwner(told, value);
      if (isOthers) delta.push([key, null]);
      if (isOthers || told === undefined || !this.#isSame(told, value)) delta.push([key, value]);
    }
    return delta;
  }

  takeGone(): Told<V> {
    if (this.wanted === this.#gone) return [];
    this.#gone = this.wanted;
    const gone = [...this.#told.keys()].filter((key) => !this.wanted.has(key));
    for (const key of gone) this.#told.delete(key);
    return gone.map((key) => [key, null]);
  }
}
