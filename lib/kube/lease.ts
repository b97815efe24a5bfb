// Leader election over a Lease, with client-go's rules: whoever sees a lease unchanged for as long
// as it lasts, by the own clock, may take it. A leader knows for itself how long it is one: from
// the moment before it sent its last good renewal, for less time than any other waits. So a
// process that was frozen is no leader when it thaws, before it has asked anybody (fault F11).

import type { Clock } from "../clock/clock.ts";
import { formatMicroTime, type Lease, parseLease } from "./api/lease.ts";
import type { KubeClient } from "./client.ts";
import { type KubeApiError, toKubeApiError } from "./kube-api-error.ts";

/** How long others wait after the last renewal they saw. */
export const LEASE_SECONDS = 15;
/** How long a leader trusts its last renewal; the rest covers clocks that run unevenly. */
export const TRUST_MS = 10_000;
export const RETRY_MS = 2_000;
/** Candidates wait up to this share longer, so that they do not ask in step. */
const JITTER = 1.2;
/** For giving the lease back, when everything else has ended. */
const RELEASE_LIMIT_MS = 3_000;

export interface ElectionOptions {
  readonly client: Pick<KubeClient, "getJson" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  /** Unique among candidates, also across restarts. */
  readonly identity: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: ElectionEvent) => void;
}

export type ElectionEvent =
  | { readonly kind: "leading" }
  | { readonly kind: "lost"; readonly why: string }
  | { readonly kind: "released" }
  | { readonly kind: "following"; readonly leader: string }
  | { readonly kind: "failed"; readonly error: KubeApiError };

/** One stay in office. */
export interface Leadership {
  /** Aborts when it is over. */
  readonly signal: AbortSignal;
  /** Whether it still holds at this very moment: ask right before each write. */
  readonly holds: () => boolean;
}

/**
 * Stands for election until `signal` aborts, calls `lead` for each time in office, and gives the
 * lease back in the end, once `lead` has ended. What `lead` rejects with ends the election.
 */
export async function runElection(
  options: ElectionOptions,
  lead: (leadership: Leadership) => Promise<void>,
): Promise<void> {
  const { clock, random, signal } = options;
  const candidate = new Candidate(options);
  while (!signal.aborted) {
    if (await candidate.tryOnce()) await holdOffice(options, candidate, lead);
    else await clock.sleep(RETRY_MS * (1 + JITTER * random()), signal);
  }
}

/** Renews and leads side by side, until the lease is lost or `signal` aborts. */
async function holdOffice(
  { clock, signal, onEvent }: ElectionOptions,
  candidate: Candidate,
  lead: (leadership: Leadership) => Promise<void>,
): Promise<void> {
  const term = new AbortController();
  const holds = (): boolean => !term.signal.aborted && candidate.holds();
  onEvent({ kind: "leading" });
  const ended = AbortSignal.any([signal, term.signal]);
  const leading = lead({ signal: ended, holds }).finally(() => term.abort());
  const failure = leading.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  while (!ended.aborted) {
    await clock.sleep(Math.min(RETRY_MS, candidate.leftMs()), ended);
    if (ended.aborted) break;
    if (!candidate.holds() || !(await candidate.renew(ended))) term.abort();
  }
  const failed = await failure;
  if (candidate.holds()) await candidate.release();
  else if (!signal.aborted) onEvent({ kind: "lost", why: candidate.why });
  if (failed !== undefined) throw failed.error;
}

class Candidate {
  readonly #options: ElectionOptions;
  readonly #path: string;
  /** The lease as last seen, and since when it looks so. */
  #seen: { readonly lease: Lease; readonly sinceMs: number } | undefined;
  #trustedUntilMs = 0;
  #leader: string | undefined;
  /** Why the lease was or will be lost. */
  why = "";

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  holds(): boolean {
    return this.#options.clock.monotonicMs() < this.#trustedUntilMs;
  }

  leftMs(): number {
    return Math.max(0, this.#trustedUntilMs - this.#options.clock.monotonicMs());
  }

  /** Takes the lease if it is free. @returns whether we lead now */
  async tryOnce(): Promise<boolean> {
    const { identity, signal } = this.#options;
    try {
      const lease = await this.#read(signal);
      if (lease !== undefined && !this.#isFree(lease)) {
        if (lease.holder !== this.#leader) this.#tell({ kind: "following", leader: lease.holder });
        this.#leader = lease.holder;
        return false;
      }
      await this.#write(lease, identity, signal);
      this.#leader = identity;
      return true;
    } catch (cause) {
      this.#fail(cause);
      return false;
    }
  }

  /**
   * Renews the lease we hold. A failure is no loss as long as the last renewal is trusted.
   * @returns false when someone else has it
   */
  async renew(signal: AbortSignal): Promise<boolean> {
    const { identity, clock } = this.#options;
    const limit = new AbortController();
    void clock.sleep(this.leftMs(), limit.signal).then(() => limit.abort());
    const limited = AbortSignal.any([signal, limit.signal]);
    try {
      const lease = this.#seen?.lease ?? (await this.#read(limited));
      if (lease !== undefined && lease.holder !== identity) {
        this.why = `taken over by "${lease.holder}"`;
        this.#trustedUntilMs = 0;
        return false;
      }
      await this.#write(lease, identity, limited);
    } catch (cause) {
      this.#seen = undefined;
      this.why = this.#fail(cause).message;
    } finally {
      limit.abort();
    }
    return true;
  }

  /** Lets another take over at once. Nothing may be written after this was called. */
  async release(): Promise<void> {
    const { clock, identity } = this.#options;
    this.#trustedUntilMs = 0;
    const limit = new AbortController();
    void clock.sleep(RELEASE_LIMIT_MS, limit.signal).then(() => limit.abort());
    try {
      const lease = this.#seen?.lease ?? (await this.#read(limit.signal));
      if (lease?.holder !== identity) return;
      await this.#write(lease, "", limit.signal);
      this.#tell({ kind: "released" });
    } catch (cause) {
      this.#fail(cause);
    } finally {
      limit.abort();
      this.#trustedUntilMs = 0;
      this.#seen = undefined;
    }
  }

  #isFree(lease: Lease): boolean {
    const { clock, identity } = this.#options;
    if (lease.holder === "" || lease.holder === identity) return true;
    const sinceMs = this.#seen?.sinceMs ?? clock.monotonicMs();
    const seconds = lease.durationSeconds ?? LEASE_SECONDS;
    return clock.monotonicMs() - sinceMs > seconds * 1_000;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, clock, name } = this.#options;
    try {
      const lease = parseLease(await client.getJson(`${this.#path}/${name}`, { signal }));
      const changed = this.#seen?.lease.renewal !== lease.renewal;
      const sinceMs = changed ? clock.monotonicMs() : (this.#seen?.sinceMs ?? 0);
      this.#seen = { lease, sinceMs };
      return lease;
    } catch (cause) {
      const error = toKubeApiError(`read lease ${name}`, cause);
      if (error.code !== 404) throw error;
      this.#seen = undefined;
      return undefined;
    }
  }

  async #write(old: Lease | undefined, holder: string, signal: AbortSignal): Promise<void> {
    const { client, clock, namespace, name } = this.#options;
    const spec = nextSpec(old, holder, formatMicroTime(clock.wallMs()));
    const sentMs = clock.monotonicMs();
    const answer =
      old === undefined
        ? await client.create(this.#path, newLease(namespace, name, spec), { signal })
        : await client.replace(`${this.#path}/${name}`, { ...old.object, spec }, { signal });
    this.#seen = { lease: parseLease(answer), sinceMs: clock.monotonicMs() };
    this.#trustedUntilMs = holder === "" ? 0 : sentMs + TRUST_MS;
    this.why = "not renewed in time";
  }

  #fail(cause: unknown): KubeApiError {
    const error = toKubeApiError(`use lease ${this.#options.name}`, cause);
    // A conflict is a lost race, as happens when many start at once: no failure.
    const quiet = error.code === 409 || this.#options.signal.aborted;
    if (!quiet) this.#tell({ kind: "failed", error });
    return error;
  }

  #tell(event: ElectionEvent): void {
    this.#options.onEvent(event);
  }
}

/** What others keep in the spec stays, such as a preferred holder. */
function nextSpec(old: Lease | undefined, holder: string, now: string) {
  const same = old?.holder === holder;
  const transitions = old === undefined ? 0 : old.transitions + (same || holder === "" ? 0 : 1);
  const rest = typeof old?.object["spec"] === "object" ? old.object["spec"] : {};
  return {
    ...rest,
    holderIdentity: holder,
    // A second when given back: nobody has to wait for nobody.
    leaseDurationSeconds: holder === "" ? 1 : LEASE_SECONDS,
    acquireTime: same && old.acquireTime !== "" ? old.acquireTime : now,
    renewTime: now,
    leaseTransitions: transitions,
  };
}

function newLease(namespace: string, name: string, spec: unknown) {
  const apiVersion = "coordination.k8s.io/v1";
  return { apiVersion, kind: "Lease", metadata: { namespace, name }, spec };
}
