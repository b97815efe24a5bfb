// Values by key that others are to be told of, and those they were told: what is new is told before
// it is needed, what is gone is taken back after. A value holder: no I/O, no clock.

export type Told<V> = readonly (readonly [string, V | null])[];

export class LedgerTable<V> {
  #wanted: ReadonlyMap<string, V> = new Map();
  readonly #told = new Map<string, V>();
  readonly #isSame: (a: V, b: V) => boolean;
  readonly #isSameOwner: (a: V, b: V) => boolean;
  /** Keys to look at, so that what did not change costs nothing; undefined: all. */
  #fresh: Set<string> | undefined = new Set();
  #gone: Set<string> | undefined = new Set();

  /** @param isSameOwner where it is not, the old value is told as gone before the new one */
  constructor(isSame: (a: V, b: V) => boolean, isSameOwner: (a: V, b: V) => boolean = () => true) {
    this.#isSame = isSame;
    this.#isSameOwner = isSameOwner;
  }

  get wanted(): ReadonlyMap<string, V> {
    return this.#wanted;
  }

  /** The same map says nothing new, but for keys that `touch` names. */
  set wanted(wanted: ReadonlyMap<string, V>) {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#fresh = undefined;
    this.#gone = undefined;
  }

  /** What is wanted was changed in place, at these keys. */
  touch(keys: Iterable<string>): void {
    for (const key of keys) {
      this.#fresh?.add(key);
      this.#gone?.add(key);
    }
  }

  takeFresh(): Told<V> {
    const keys = this.#fresh ?? this.#wanted.keys();
    this.#fresh = new Set();
    const delta: (readonly [string, V | null])[] = [];
    for (const key of keys) {
      const value = this.#wanted.get(key);
      const told = this.#told.get(key);
      if (value === undefined || told === value) continue;
      this.#told.set(key, value);
      const isOthers = told !== undefined && !this.#isSameOwner(told, value);
      if (isOthers) delta.push([key, null]);
      if (isOthers || told === undefined || !this.#isSame(told, value)) delta.push([key, value]);
    }
    return delta;
  }

  takeGone(): Told<V> {
    const keys = this.#gone ?? this.#told.keys();
    this.#gone = new Set();
    const gone = [...keys].filter((key) => this.#told.has(key) && !this.#wanted.has(key));
    for (const key of gone) this.#told.delete(key);
    return gone.map((key) => [key, null]);
  }
}
