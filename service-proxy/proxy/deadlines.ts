// Deadlines of thousands of connections: moved often, met seldom. Moving one is an assignment; a
// sweep a few times a second finds those that passed, at most one period late.

/** Something that may have to end. */
export interface Expiring {
  /** By the sweep's clock; infinite when nothing limits it. */
  readonly deadlineMs: number;
  onDeadline(nowMs: number): void;
  /** Policies changed: ends if they allow it no more. Missing where there is nothing to ask. */
  rejudge?(): void;
}

/** The period a sweep should have. */
export const SWEEP_PERIOD_MS = 100;

export class Deadlines {
  readonly #all = new Set<Expiring>();

  get size(): number {
    return this.#all.size;
  }

  add(one: Expiring): void {
    this.#all.add(one);
  }

  remove(one: Expiring): void {
    this.#all.delete(one);
  }

  /** Has everyone who can ask anew whether it may go on. */
  rejudge(): void {
    for (const one of this.#all) one.rejudge?.();
  }

  /** Tells everyone whose deadline passed. They may remove themselves, or move their deadline. */
  sweep(nowMs: number): void {
    for (const one of this.#all) if (one.deadlineMs <= nowMs) one.onDeadline(nowMs);
  }
}
