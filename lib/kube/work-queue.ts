// Keys that need work, each at most once, whatever happens meanwhile: the contract of level-
// triggered controllers. A key that is added while it is worked on is worked on once more; one
// that fails comes again after a while that grows.

import type { Clock } from "../clock/clock.ts";
import { type RetryBounds, retryDelayMs } from "../clock/retry-delay.ts";

export interface WorkQueueOptions<K> {
  /** Does a key's work. A rejection is told and the key tried again. */
  readonly work: (key: K) => Promise<void>;
  /** How many keys are worked on at a time. */
  readonly workers: number;
  readonly retry: RetryBounds;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Ends everything; keys that wait are forgotten. */
  readonly signal: AbortSignal;
  readonly onFailure: (key: K, error: unknown) => void;
}

/** Holds as many entries as there are keys, never more. */
export class WorkQueue<K> {
  readonly #options: WorkQueueOptions<K>;
  /** In the order in which they came. */
  readonly #due = new Set<K>();
  readonly #working = new Map<K, Promise<void>>();
  readonly #failures = new Map<K, number>();
  readonly #waiting = new Map<K, AbortController>();

  constructor(options: WorkQueueOptions<K>) {
    this.#options = options;
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.#due.size;
  }

  /** Asks for a key's work, at once: also when it waits because it failed. */
  add(key: K): void {
    if (this.#options.signal.aborted) return;
    this.#waiting.get(key)?.abort();
    this.#due.add(key);
    this.#startWork();
  }

  /** Resolves when no work is under way. New work starts only until `signal` aborts. */
  async idle(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working.values());
  }

  #startWork(): void {
    const { workers, signal } = this.#options;
    for (const key of this.#due) {
      if (signal.aborted || this.#working.size >= workers) return;
      if (!this.#working.has(key)) this.#working.set(key, this.#workOn(key));
    }
  }

  async #workOn(key: K): Promise<void> {
    // Not in the caller's turn: whoever adds a key does not run its work.
    await Promise.resolve();
    this.#due.delete(key);
    try {
      if (!this.#options.signal.aborted) await this.#options.work(key);
      this.#failures.delete(key);
    } catch (error) {
      if (!this.#options.signal.aborted) this.#options.onFailure(key, error);
      void this.#addLater(key);
    } finally {
      this.#working.delete(key);
      this.#startWork();
    }
  }

  async #addLater(key: K): Promise<void> {
    const { clock, random, retry, signal } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const cancel = new AbortController();
    this.#waiting.set(key, cancel);
    const anyEnd = AbortSignal.any([signal, cancel.signal]);
    await clock.sleep(retryDelayMs(retry, failures, random()), anyEnd);
    this.#waiting.delete(key);
    if (!anyEnd.aborted) this.add(key);
  }
}
