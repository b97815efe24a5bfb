// The newest records of many callers in little room: where it ends, whoever fills most of it loses
// the oldest of theirs, so that one scanner does not push out what is known of others.

interface Kept<T> {
  readonly group: string;
  readonly value: T;
}

export class FairRecords<T> {
  readonly #most: number;
  /** The oldest first. */
  readonly #records = new Map<string, Kept<T>>();
  /** How many each group has. */
  readonly #counts = new Map<string, number>();

  /** @param most records, of all groups together */
  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): T | undefined {
    return this.#records.get(key)?.value;
  }

  /** Makes it the newest. @param group whom it counts for */
  set(key: string, group: string, value: T): void {
    this.#delete(key);
    this.#records.set(key, { group, value });
    this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1);
    if (this.#records.size > this.#most) this.#dropOne();
  }

  /** The newest last. */
  values(): readonly T[] {
    return Array.from(this.#records.values(), ({ value }) => value);
  }

  clear(): void {
    this.#records.clear();
    this.#counts.clear();
  }

  #dropOne(): void {
    const largest = Math.max(...this.#counts.values());
    for (const [key, { group }] of this.#records) {
      if (this.#counts.get(group) === largest) return this.#delete(key);
    }
  }

  #delete(key: string): void {
    const known = this.#records.get(key);
    if (known === undefined) return;
    this.#records.delete(key);
    const left = (this.#counts.get(known.group) ?? 0) - 1;
    if (left > 0) this.#counts.set(known.group, left);
    else this.#counts.delete(known.group);
  }
}
