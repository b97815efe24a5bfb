// Keeps the CA what its objects say: level-triggered, every few seconds, on every replica. All read
// and sign; whoever finds no state makes one, and the first to write it wins; the leader rotates
// and publishes. What fails is told once and tried again, and meanwhile the last good state signs.

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../lib/clock/clock.ts";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import type { WriteOptions } from "../../lib/kube/client.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { decodeCertificate } from "../../lib/x509/decoded-certificate.ts";
import { decodePem } from "../../lib/x509/pem.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";
import { type ActiveAuthority, makeActiveAuthority } from "./active-authority.ts";
import { publishConfigMap, publishTrustBundle } from "./bundle-publish.ts";
import type { CaMetrics } from "./ca-metrics.ts";
import { CA_OBJECTS, type CaSettings } from "./ca-settings.ts";
import { type CaWish, decideSigner, firstMaterial } from "./ca-wish.ts";
import { makeRootMaterial } from "./root-material.ts";
import { DEFAULT_ROTATION_TIMINGS, planRotation, type WantedSigner } from "./rotation.ts";
import { recoverAuthority } from "./rotation-recovery.ts";
import type { AuthorityState } from "./rotation-state.ts";
import type { ObjectClient } from "./state-object.ts";
import { type CaObjects, StateStore } from "./state-store.ts";

/** A ban counts, and a new state signs, so much later at most. */
export const UPKEEP_MS = 5_000;
/** One round may add, switch and remove; more in one go is a mistake. */
const MAX_STEPS = 8;
/** How often the ClusterTrustBundle is looked at when nothing changed here. */
const SPREAD_AGAIN_MS = 600_000;
/** Others may write in between; the next round comes soon. */
const MAX_TRIES = 3;

export interface UpkeepOptions {
  readonly settings: CaSettings;
  readonly client: ObjectClient;
  readonly clock: Clock;
  readonly randomBytes: (lengthBytes: number) => Buffer;
  /** Whether this replica leads at this very moment: asked right before each write. */
  readonly leads: () => boolean;
  readonly log: Logger;
  readonly metrics: Pick<CaMetrics, "expiry" | "roots" | "failures">;
}

export class CaUpkeep {
  readonly #options: UpkeepOptions;
  readonly #store: StateStore;
  #active: ActiveAuthority | undefined;
  /** What `#active` was made of. */
  #adopted: AuthorityState | undefined;
  #bans: readonly NodeBan[] = [];
  /** What the ClusterTrustBundle was brought to last, or found not to exist for. */
  #spread = { text: "", atMs: 0 };
  /** By step: what was told last. */
  readonly #told = new Map<string, string>();

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.#store = new StateStore(options.client, options.settings);
  }

  /** What signs; undefined until the first good round. */
  get active(): ActiveAuthority | undefined {
    return this.#active;
  }

  /** Bans as known last. Nothing is signed before they were read once. */
  get bans(): readonly NodeBan[] {
    return this.#bans;
  }

  /** Runs until `signal` aborts. Rejects for bugs only. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await this.round(signal);
      await clock.sleep(UPKEEP_MS, signal);
    }
  }

  /** One look at everything and what follows from it. */
  async round(signal: AbortSignal): Promise<void> {
    await this.#attempt("state", signal, async () => {
      for (let i = 0; i < MAX_TRIES; i++) if (await this.#settle(signal)) return;
    });
  }

  /** @returns false when another replica wrote in between: look again */
  async #settle(signal: AbortSignal): Promise<boolean> {
    const { leads } = this.#options;
    const objects = await this.#store.read(signal);
    this.#bans = objects.bans;
    const wish = this.#decide(objects);
    this.#tellSupplied(wish);
    if (wish.kind === "unclear" && objects.stored === undefined) return true;
    let secret = objects.secret;
    let state = this.#recover(objects, wish);
    if (state !== objects.stored) {
      secret = await this.#store.write(secret, state, { signal });
      if (secret === undefined) return false;
    }
    if (leads() && wish.kind === "wanted") {
      const rotated = await this.#rotate({ secret, state }, wish.signer, signal);
      if (rotated === undefined) return false;
      state = rotated;
    }
    this.#adopt(state);
    await this.#publish(state, signal);
    return true;
  }

  #tellSupplied(wish: CaWish): void {
    if (wish.kind === "unclear") this.#tell("supplied", wish.why);
    else if (wish.warnings.length === 0) this.#told.delete("supplied");
    else {
      const why = `left out of the supplied CA: ${wish.warnings.join("; ")}`;
      this.#tell("supplied", why, { level: "warn" });
    }
  }

  #decide({ supplied, stored }: CaObjects): CaWish {
    const { settings, clock, randomBytes } = this.#options;
    const { trustDomain, rootGeneration } = settings;
    const nowMs = clock.wallMs();
    const make = () => makeRootMaterial({ trustDomain, nowMs, randomBytes });
    const active = stored?.active;
    return decideSigner({ trustDomain, supplied, active, rootGeneration, nowMs, make });
  }

  #recover({ stored, published }: CaObjects, wish: CaWish): AuthorityState {
    const { settings, clock } = this.#options;
    const { trustDomain, leafLifetimeMs } = settings;
    const make = () => {
      if (wish.kind === "unclear") throw new Error(`Cannot make a CA: ${wish.why}`);
      return firstMaterial(wish.signer);
    };
    const nowMs = clock.wallMs();
    return recoverAuthority({ trustDomain, stored, published, make, leafLifetimeMs, nowMs });
  }

  /** Takes every step that is due, each written before the next; undefined: someone else wrote. */
  async #rotate(
    from: { readonly secret: JsonRecord | undefined; readonly state: AuthorityState },
    wanted: WantedSigner,
    signal: AbortSignal,
  ): Promise<AuthorityState | undefined> {
    const { settings, clock, log, leads } = this.#options;
    const { spreadMs, leafLifetimeMs } = settings;
    const timings = { ...DEFAULT_ROTATION_TIMINGS, spreadMs, leafLifetimeMs };
    let { secret, state } = from;
    for (let i = 0; i < MAX_STEPS; i++) {
      const plan = planRotation(state, { ...timings, nowMs: clock.wallMs(), wanted });
      if (plan.state === state) break;
      secret = await this.#store.write(secret, plan.state, { signal, permit: leads });
      if (secret === undefined) return undefined;
      ({ state } = plan);
      const { step, why } = plan;
      log.info("CA rotation", { step, why, version: state.version, roots: state.roots.length });
    }
    return state;
  }

  #adopt(state: AuthorityState): void {
    // Not by its version alone: whoever deletes all objects starts over at the first one.
    if (isDeepStrictEqual(this.#adopted, state)) return;
    const { settings, clock, randomBytes, log, metrics } = this.#options;
    const chance = { clock, randomBytes };
    const made = makeActiveAuthority(state, settings.leafLifetimeMs, chance);
    if (made.kind === "invalid") {
      const why = made.problems.join("; ");
      throw new Error(`Cannot sign with state ${state.version}: ${why}`);
    }
    this.#active = made.active;
    this.#adopted = state;
    const { version, roots, notAfterMs } = made.active;
    metrics.roots.set(roots.length);
    metrics.expiry.set(notAfterMs / 1_000, { certificate: "signer" });
    metrics.expiry.set(firstEndMs(roots) / 1_000, { certificate: "root" });
    log.info("CA signs", { trustDomain: state.trustDomain, version, roots: roots.length });
  }

  async #publish({ version, trustDomain, roots }: AuthorityState, signal: AbortSignal) {
    const { settings, client, leads, clock, log } = this.#options;
    if (!leads()) return;
    const pems = roots.map(({ pem }) => pem);
    const content = { trustDomain, version, roots: pems, bans: this.#bans };
    const options: WriteOptions = { signal, permit: leads };
    const place = { client, namespace: settings.namespace, name: CA_OBJECTS.bundle };
    await this.#attempt("bundle", signal, async () => {
      const written = await publishConfigMap(place, content, options);
      if (written) log.info("trust bundle published", { version, bans: this.#bans.length });
    });
    const text = pems.join("");
    const atMs = clock.monotonicMs();
    const isKnown = this.#spread.text === text && atMs - this.#spread.atMs < SPREAD_AGAIN_MS;
    if (isKnown) return;
    await this.#attempt("trust-bundle", signal, async () => {
      await publishTrustBundle(place, pems, options);
      this.#spread = { text, atMs };
    });
  }

  /** What fails is counted each time, and told when it is something new. */
  async #attempt(step: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#told.delete(step);
    } catch (error) {
      if (signal.aborted) return;
      this.#options.metrics.failures.add(1, { step });
      this.#tell(step, error instanceof Error ? error.message : String(error), { error });
    }
  }

  #tell(
    step: string,
    why: string,
    {
      level = "error",
      ...cause
    }: { readonly level?: "warn" | "error"; readonly error?: unknown } = {},
  ): void {
    if (this.#told.get(step) === why) return;
    this.#told.set(step, why);
    this.#options.log[level]("CA upkeep", { step, why, ...cause });
  }
}

function firstEndMs(roots: readonly string[]): number {
  const ends = roots.flatMap(decodePem).map((der) => decodeCertificate(der)?.notAfterMs ?? 0);
  return Math.min(...ends);
}
