// Values under names, made for whoever takes them first and dropped with whoever is last to go.

import assert from "node:assert/strict";

export class CountedPool<Value> {
  readonly #entries = new Map<string, { readonly value: Value; uses: number }>();

  /** The value of that name, the same object until it was released as often as it was taken. */
  take(name: string, make: () => Value): Value {
    const known = this.#entries.get(name);
    if (known !== undefined) {
      known.uses++;
      return known.value;
    }
    const value = make();
    this.#entries.set(name, { value, uses: 1 });
    return value;
  }

  /** @returns whether nobody uses it any more */
  release(name: string): boolean {
    const known = this.#entries.get(name);
    assert(known !== undefined, `nobody took ${name}`);
    known.uses--;
    if (known.uses > 0) return false;
    this.#entries.delete(name);
    return true;
  }
}
