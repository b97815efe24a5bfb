// Keeps statuses as they should be, for as long as we lead. Level-triggered: looks at everything
// whenever something may have changed, and queues what differs from the last look. After a write
// of its own it judges an object again only when the watch shows that write: what it reads until
// then is older than what it did (KEP-5647).

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../clock/clock.ts";
import type { KubeClient } from "./client.ts";
import type { Leadership } from "./lease.ts";
import { isOlder } from "./resource-version.ts";
import { type NextStatus, type StatusTarget, writeStatus } from "./status-writer.ts";
import { WorkQueue } from "./work-queue.ts";

/** An object, and what its status should say. */
export interface StatusSubject {
  /** e.g. `HTTPRoute shop/web` */
  readonly key: string;
  /** The same object (`===`) as long as nothing of it changed. */
  readonly target: StatusTarget;
  /** What was concluded; compared by its content. */
  readonly verdict: unknown;
  readonly next: NextStatus;
}

export interface StatusKeeperOptions {
  readonly client: Pick<KubeClient, "getJson" | "patch">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Everything with a status of ours, as it is known now. */
  readonly subjects: () => readonly StatusSubject[];
  readonly onEvent: (event: StatusEvent) => void;
}

export type StatusEvent =
  | { readonly kind: "written" | "unchanged" | "gone" | "stale" | "conflict"; readonly key: string }
  | { readonly kind: "failed"; readonly key: string; readonly error: unknown }
  | { readonly kind: "depth"; readonly depth: number };

/** Objects written at a time: enough to hide the server's latency, too few to burden it. */
const WORKERS = 4;
const RETRY = { minMs: 500, maxMs: 300_000 };
/** A watch that has not shown our write by then never will: etcd was restored to before it. */
export const ECHO_PATIENCE_MS = 30_000;

/** Made anew for each time in office, so that each begins with everything. */
export class StatusKeeper {
  readonly #options: StatusKeeperOptions;
  readonly #leadership: Leadership;
  readonly #queue: WorkQueue<string>;
  #subjects: ReadonlyMap<string, StatusSubject> = new Map();
  /** What we wrote and have not seen yet. */
  readonly #unseen = new Map<string, { readonly version: string; readonly sinceMs: number }>();

  constructor(leadership: Leadership, options: StatusKeeperOptions) {
    const { clock, random, onEvent } = options;
    this.#options = options;
    this.#leadership = leadership;
    this.#queue = new WorkQueue<string>({
      work: (key) => this.#work(key),
      workers: WORKERS,
      retry: RETRY,
      clock,
      random,
      signal: leadership.signal,
      onFailure: (key, error) => onEvent({ kind: "failed", key, error }),
    });
  }

  /** Looks at everything, and queues what changed since the last look. */
  look(): void {
    const before = this.#subjects;
    this.#subjects = new Map(this.#options.subjects().map((subject) => [subject.key, subject]));
    for (const [key, { target, verdict }] of this.#subjects) {
      const old = before.get(key);
      if (old?.target === target && isDeepStrictEqual(old.verdict, verdict)) continue;
      this.#queue.add(key);
    }
    for (const key of this.#unseen.keys()) if (!this.#subjects.has(key)) this.#unseen.delete(key);
    this.#options.onEvent({ kind: "depth", depth: this.#queue.depth });
  }

  /** Queues everything, seen or not: mends what no event told of. */
  lookAgain(): void {
    this.#subjects = new Map();
    this.look();
  }

  /** Resolves when no write is under way. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }

  async #work(key: string): Promise<void> {
    const { client, clock, onEvent } = this.#options;
    const subject = this.#subjects.get(key);
    if (subject === undefined || this.#awaitsEcho(subject)) return;
    const outcome = await writeStatus(subject.target, subject.next, {
      client,
      permit: this.#leadership.holds,
      signal: this.#leadership.signal,
      onConflict: () => onEvent({ kind: "conflict", key }),
    });
    if (outcome.kind === "written") {
      this.#unseen.set(key, { version: outcome.resourceVersion, sinceMs: clock.monotonicMs() });
    }
    onEvent({ kind: outcome.kind, key });
    onEvent({ kind: "depth", depth: this.#queue.depth });
  }

  #awaitsEcho({ key, target }: StatusSubject): boolean {
    const written = this.#unseen.get(key);
    if (written === undefined) return false;
    const waitedMs = this.#options.clock.monotonicMs() - written.sinceMs;
    if (isOlder(target.resourceVersion, written.version) && waitedMs < ECHO_PATIENCE_MS)
      return true;
    this.#unseen.delete(key);
    return false;
  }
}
