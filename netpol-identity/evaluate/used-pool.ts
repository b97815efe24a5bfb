// Values under names, made when they are asked for and kept while they are: what was not asked for
// between two sweeps is dropped.

export class UsedPool<Value> {
  readonly #entries = new Map<string, { readonly value: Value; isUsed: boolean }>();

  /** The value of that name; the same object for as long as it is used. */
  use(name: string, make: () => Value): Value {
    const known = this.#entries.get(name);
    if (known !== undefined) {
      known.isUsed = true;
      return known.value;
    }
    const value = make();
    this.#entries.set(name, { value, isUsed: true });
    return value;
  }

  *values(): Generator<Value> {
    for (const { value } of this.#entries.values()) yield value;
  }

  /** @returns what is dropped */
  sweep(): readonly Value[] {
    const dropped: Value[] = [];
    for (const [name, entry] of this.#entries) {
      if (!entry.isUsed) {
        this.#entries.delete(name);
        dropped.push(entry.value);
      }
      entry.isUsed = false;
    }
    return dropped;
  }
}
