// What one group may use of a worker at one time, so that a backend that hangs costs its own
// requests only. Beyond a limit requests are refused at once, never queued without end.

/** On one worker, for one group. */
const LIMITS = {
  /** Open upstream connections. */
  connections: 4_096,
  /** Requests that wait for a connection. */
  pending: 1_024,
  /** Requests under way, waiting ones included. */
  requests: 16_384,
} as const;

export type CircuitResource = keyof typeof LIMITS;
export type CircuitLimits = Readonly<Record<CircuitResource, number>>;

/** Counts what one group has taken. */
export class Circuit {
  readonly #limits: CircuitLimits;
  readonly #taken: Record<CircuitResource, number> = { connections: 0, pending: 0, requests: 0 };

  constructor(limits: CircuitLimits = LIMITS) {
    this.#limits = limits;
  }

  /** @returns false at the limit; true must be followed by one `release` */
  tryTake(resource: CircuitResource): boolean {
    if (this.#taken[resource] >= this.#limits[resource]) return false;
    this.#taken[resource]++;
    return true;
  }

  release(resource: CircuitResource): void {
    this.#taken[resource] = Math.max(0, this.#taken[resource] - 1);
  }

  taken(resource: CircuitResource): number {
    return this.#taken[resource];
  }
}
