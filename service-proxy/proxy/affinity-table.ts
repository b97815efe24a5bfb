// ClientIP affinity: which endpoint a client came to, while it keeps coming back in time. Bounded;
// when full, the client that was away longest is forgotten.

/** Some 10 MiB a group when full of IPv6 clients. */
const MOST_CLIENTS = 65_536;

/** Of one group, so that every frontend with this group shares it. */
export class AffinityTable<T> {
  readonly #timeoutMs: number;
  readonly #mostClients: number;
  /** In the order of last use: what expires first stands first. */
  readonly #entries = new Map<string, { readonly target: T; readonly usedMs: number }>();

  /** @param timeoutMs since the client's last connection, as `sessionAffinityConfig` means it */
  constructor(timeoutMs: number, mostClients = MOST_CLIENTS) {
    this.#timeoutMs = timeoutMs;
    this.#mostClients = mostClients;
  }

  get size(): number {
    return this.#entries.size;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Where the client last went; undefined when it was away for too long. */
  find(client: string, nowMs: number): T | undefined {
    const entry = this.#entries.get(client);
    return entry === undefined || this.#isOver(entry.usedMs, nowMs) ? undefined : entry.target;
  }

  /** The client came, and went to `target`. */
  use(client: string, target: T, nowMs: number): void {
    this.#entries.delete(client);
    this.#entries.set(client, { target, usedMs: nowMs });
    for (const [oldest, { usedMs }] of this.#entries) {
      if (this.#entries.size <= this.#mostClients && !this.#isOver(usedMs, nowMs)) break;
      this.#entries.delete(oldest);
    }
  }

  #isOver(usedMs: number, nowMs: number): boolean {
    return nowMs - usedMs >= this.#timeoutMs;
  }
}
