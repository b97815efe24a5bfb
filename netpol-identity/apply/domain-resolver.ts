// Resolves the names that policies allow, again and again as their records say. What a pod was
// answered may differ: where names change by client, such rules cannot be relied on.

import { Resolver } from "node:dns/promises";
import type { Clock } from "../../lib/clock/clock.ts";
import { isReservedAddress, parseAddress } from "../../lib/ip/address.ts";

export interface ResolvedAddress {
  readonly address: string;
  /** Seconds. */
  readonly ttl: number;
}

/**
 * All addresses of a name, of both families.
 * @throws Error when nobody answers, or says that there is no such name
 */
export type ResolveName = (name: string) => Promise<readonly ResolvedAddress[]>;

export interface DomainResolverParts {
  /** That are asked for now. */
  readonly names: () => ReadonlySet<string>;
  readonly resolve: ResolveName;
  readonly onAddresses: (name: string, addresses: ReadonlySet<string>) => void;
  readonly clock: Clock;
}

export const SHORTEST_MS = 5_000;
export const LONGEST_MS = 300_000;
/** While nobody answers, what was answered last holds so long. */
export const KEPT_MS = 600_000;
/** Servers that answer with some of many addresses tell the others the next time. */
export const ROTATION_MS = 60_000;
const MAX_NAMES = 1_000;
const MAX_ADDRESSES = 256;
const AT_A_TIME = 8;
const IDLE_MS = 60_000;

interface Known {
  /** When it was last in an answer, by address. */
  readonly seenMs: Map<string, number>;
  goodMs: number;
  nextMs: number;
}

export class DomainResolver {
  readonly #parts: DomainResolverParts;
  readonly #known = new Map<string, Known>();
  #wake = (): void => {};

  constructor(parts: DomainResolverParts) {
    this.#parts = parts;
  }

  /** Names may be others than before. */
  look(): void {
    this.#wake();
  }

  /** Resolves until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      const nap = new AbortController();
      this.#wake = () => nap.abort();
      const due = this.#due().values();
      const work = async (): Promise<void> => {
        for (const [name, known] of due) if (!signal.aborted) await this.#refresh(name, known);
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, work));
      const nextMs = Math.min(...this.#known.values().map((known) => known.nextMs));
      const napMs = Math.min(IDLE_MS, Math.max(0, nextMs - clock.monotonicMs()));
      await clock.sleep(napMs, AbortSignal.any([signal, nap.signal]));
    }
  }

  #due(): readonly (readonly [string, Known])[] {
    const { names, clock, onAddresses } = this.#parts;
    const nowMs = clock.monotonicMs();
    const wanted = new Set([...names()].slice(0, MAX_NAMES));
    for (const name of this.#known.keys()) {
      if (wanted.has(name)) continue;
      this.#known.delete(name);
      onAddresses(name, new Set());
    }
    for (const name of wanted) {
      if (this.#known.has(name)) continue;
      this.#known.set(name, { seenMs: new Map(), goodMs: nowMs, nextMs: nowMs });
    }
    return [...this.#known].filter(([, { nextMs }]) => nextMs <= nowMs);
  }

  async #refresh(name: string, known: Known): Promise<void> {
    const { resolve, clock, onAddresses } = this.#parts;
    const answers = await resolve(name).catch(() => undefined);
    const nowMs = clock.monotonicMs();
    if (answers === undefined) {
      known.nextMs = nowMs + SHORTEST_MS;
      if (nowMs - known.goodMs < KEPT_MS) return;
      known.seenMs.clear();
    } else {
      known.goodMs = nowMs;
      const ttlMs = Math.min(...answers.map(({ ttl }) => ttl * 1_000), LONGEST_MS);
      known.nextMs = nowMs + Math.max(SHORTEST_MS, ttlMs);
      for (const address of answers.slice(0, MAX_ADDRESSES).flatMap(usable)) {
        // The newest are the last.
        known.seenMs.delete(address);
        known.seenMs.set(address, nowMs);
      }
      for (const [address, seenMs] of known.seenMs) {
        const isOver = nowMs - seenMs > ROTATION_MS || known.seenMs.size > MAX_ADDRESSES;
        if (isOver && seenMs !== nowMs) known.seenMs.delete(address);
      }
    }
    // Asked for no more in the meantime: whoever was told so is not told otherwise.
    if (this.#known.get(name) === known) onAddresses(name, new Set(known.seenMs.keys()));
  }
}

/** A name that leads to this node, or to everybody at once, is nobody's. */
function usable({ address: text }: ResolvedAddress): readonly string[] {
  const address = parseAddress(text);
  return address === undefined || isReservedAddress(address) ? [] : [address];
}

const TIMEOUT_MS = 2_000;
const TRIES = 2;
/** The name has addresses of the other family only. */
const NO_DATA = "ENODATA";

/**
 * Asks name servers.
 * @param servers `192.0.2.53`, `[2001:db8::53]:5353`. @default those of this machine's resolv.conf
 */
export function makeResolveName(servers?: readonly string[]): ResolveName {
  return async (name) => {
    // A new one each time: it reads resolv.conf, which may change.
    const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
    if (servers !== undefined) resolver.setServers(servers);
    const none = (error: unknown): readonly ResolvedAddress[] => {
      if (error instanceof Error && "code" in error && error.code === NO_DATA) return [];
      throw error;
    };
    const [v4, v6] = await Promise.all([
      resolver.resolve4(name, { ttl: true }).catch(none),
      resolver.resolve6(name, { ttl: true }).catch(none),
    ]);
    return [...v4, ...v6];
  };
}
