// Keeps a key and a certificate for each identity that has a pod here. Keys are made in this
// process, stay in its memory, and are new with every certificate. Fails closed: what expires is
// taken from the workers, whatever the reason that there is no next one (fault F39).

import { generateKeyPairSync } from "node:crypto";
import type { Clock } from "../../lib/clock/clock.ts";
import { redactText } from "../../lib/log/redact.ts";
import { encodeCsr } from "../../lib/x509/csr.ts";
import type { TrustBundles } from "../../lib/x509/svid.ts";
import type { SpiffeUri, TunnelCredential } from "../model/tunnel-plan.ts";
import { checkCredential, isTrusted } from "./credential-check.ts";
import { KeyEntry, type KeyState } from "./key-entry.ts";

/**
 * Has a request signed. The chain is in PEM, leaf first; what it says is checked here.
 * Rejects when there is no certificate; whoever implements it does not try again by itself.
 */
export type Sign = (
  csr: Buffer,
  identity: SpiffeUri,
  signal: AbortSignal,
) => Promise<{ readonly chain: readonly string[] }>;

export type KeyEvent =
  | {
      readonly kind: "issued";
      readonly identity: SpiffeUri;
      readonly serial: string;
      /** Whether there was one before. */
      readonly isRenewal: boolean;
      readonly durationMs: number;
    }
  | { readonly kind: "failed"; readonly identity: SpiffeUri; readonly error: unknown }
  /** It ran out before there was another. */
  | { readonly kind: "expired"; readonly identity: SpiffeUri };

export interface KeyKeeperParts {
  readonly sign: Sign;
  /** What this node trusts, at the moment. */
  readonly bundles: () => TrustBundles;
  /** Peers take no certificate that this node was issued until then, wall time. */
  readonly bannedUntilMs: () => number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** `credentials` gives others than before. */
  readonly onChange: () => void;
  readonly onEvent: (event: KeyEvent) => void;
}

/** How many requests are on their way at a time. */
export const MAX_ASKED = 8;
/** A CA that has not answered by then is asked anew. */
export const SIGN_LIMIT_MS = 30_000;
/** How late a jump of the wall clock is noticed. */
const MAX_NAP_MS = 10_000;

export class KeyKeeper {
  readonly #parts: KeyKeeperParts;
  readonly #entries = new Map<SpiffeUri, KeyEntry>();
  readonly #asked = new Set<Promise<void>>();
  #credentials: ReadonlyMap<SpiffeUri, TunnelCredential> = new Map();
  #wake = (): void => {};

  constructor(parts: KeyKeeperParts) {
    this.#parts = parts;
  }

  /** Says which identities have a pod here. Those that left keep their key for a minute. */
  need(identities: ReadonlySet<SpiffeUri>): void {
    const { clock, random } = this.#parts;
    for (const entry of this.#entries.values()) entry.setNeeded(identities.has(entry.identity));
    for (const identity of identities) {
      if (this.#entries.has(identity)) continue;
      this.#entries.set(identity, new KeyEntry(identity, clock, random));
    }
    this.#wake();
  }

  /** What workers may use; the same map until it changes. */
  get credentials(): ReadonlyMap<SpiffeUri, TunnelCredential> {
    return this.#credentials;
  }

  /** By identity, for people. */
  get states(): readonly KeyState[] {
    return [...this.#entries.values()]
      .map(({ state }) => state)
      .sort((a, b) => (a.identity < b.identity ? -1 : 1));
  }

  /** Renews all, each at some time within `withinMs`: when the CA signs with another key. */
  renewAll(withinMs: number): void {
    for (const entry of this.#entries.values()) entry.renewSoon(withinMs);
    this.#wake();
  }

  /** Renews at once what peers take no more: no bundle vouches for it, or a ban is on it. */
  recheck(): void {
    for (const entry of this.#entries.values()) this.#recheckOne(entry);
    this.#wake();
  }

  #recheckOne(entry: KeyEntry): void {
    const { bundles, bannedUntilMs, clock } = this.#parts;
    const { checked } = entry;
    if (checked === undefined) return;
    const trust = { bundles: bundles(), nowMs: clock.wallMs() };
    const isBanned = checked.issuedMs <= bannedUntilMs();
    if (isBanned || !isTrusted(checked.credential, trust)) entry.renewSoon(0);
  }

  /** Works until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const nap = new AbortController();
      this.#wake = () => nap.abort();
      this.#sweep();
      this.#askForDue(signal);
      await this.#parts.clock.sleep(this.#napMs(), AbortSignal.any([signal, nap.signal]));
    }
    await Promise.all(this.#asked);
  }

  #napMs(): number {
    // When no more can be asked, an answer is what to wait for.
    const isFull = this.#asked.size >= MAX_ASKED;
    let napMs = MAX_NAP_MS;
    for (const { waitMs, endsInMs } of this.#entries.values()) {
      napMs = Math.min(napMs, endsInMs, isFull ? Infinity : waitMs);
    }
    return napMs;
  }

  /** Drops what is over, and what nobody needs any more. */
  #sweep(): void {
    for (const entry of this.#entries.values()) {
      if (entry.expire()) this.#parts.onEvent({ kind: "expired", identity: entry.identity });
      if (entry.isGone) this.#entries.delete(entry.identity);
    }
    this.#tellChange();
  }

  #askForDue(signal: AbortSignal): void {
    const due = [...this.#entries.values()].filter(({ waitMs }) => waitMs <= 0);
    due.sort((a, b) => (a.urgency === b.urgency ? 0 : a.urgency - b.urgency));
    for (const entry of due.slice(0, MAX_ASKED - this.#asked.size)) {
      const asked = this.#ask(entry, signal).finally(() => {
        this.#asked.delete(asked);
        this.#wake();
      });
      this.#asked.add(asked);
    }
  }

  async #ask(entry: KeyEntry, signal: AbortSignal): Promise<void> {
    const { clock, bundles, onEvent } = this.#parts;
    const { identity } = entry;
    const startMs = clock.monotonicMs();
    const isRenewal = entry.checked !== undefined;
    entry.isAsking = true;
    try {
      const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { chain } = await this.#sign(encodeCsr(key, identity), identity, signal);
      const trust = { bundles: bundles(), nowMs: clock.wallMs() };
      const checked = checkCredential(chain, { key, identity }, trust);
      entry.accept(checked);
      // It may be older than it looks: a second is the least that a certificate can tell.
      this.#recheckOne(entry);
      const durationMs = clock.monotonicMs() - startMs;
      onEvent({ kind: "issued", identity, serial: checked.serial, isRenewal, durationMs });
    } catch (error) {
      if (signal.aborted) return;
      entry.fail(redactText(error instanceof Error ? error.message : String(error)));
      onEvent({ kind: "failed", identity, error });
    } finally {
      entry.isAsking = false;
    }
    this.#tellChange();
  }

  /** Gives up after a while, also on a `Sign` that does not listen to its signal. */
  async #sign(csr: Buffer, identity: SpiffeUri, signal: AbortSignal) {
    const { sign, clock } = this.#parts;
    const end = new AbortController();
    const limit = AbortSignal.any([signal, end.signal]);
    const late = clock.sleep(SIGN_LIMIT_MS, limit).then(() => {
      throw new Error(`Cannot get a certificate for ${identity}: no answer in time`);
    });
    // Whoever loses the race has nobody left to tell.
    late.catch(() => {});
    try {
      return await Promise.race([sign(csr, identity, limit), late]);
    } finally {
      end.abort();
    }
  }

  #tellChange(): void {
    const credentials = new Map<SpiffeUri, TunnelCredential>();
    for (const { identity, checked } of this.#entries.values()) {
      if (checked !== undefined) credentials.set(identity, checked.credential);
    }
    const before = this.#credentials;
    const isSame =
      credentials.size === before.size &&
      [...credentials].every(([identity, credential]) => before.get(identity) === credential);
    if (isSame) return;
    this.#credentials = credentials;
    this.#parts.onChange();
  }
}
