// The proof that enforcement works: a loop that attacks this node's own pods, and asks the kernel's
// counters whether every packet was dropped.

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../lib/clock/clock.ts";
import type { AddressFamily } from "../../lib/ip/address.ts";
import type { Logger } from "../../lib/log/logger.ts";
import {
  type Attack,
  type AttackKind,
  type CanaryWorld,
  COUNTED_BY,
  planAttacks,
} from "../plan/canary-targets.ts";

export interface CanaryParts {
  /** What the kernel holds; undefined before it does. */
  readonly world: () => CanaryWorld | undefined;
  /** Sends that many packets of connections that were never before. */
  readonly attack: (attack: Attack, packets: number) => Promise<void>;
  /** Packets that our tables of a family dropped so far, by counter. */
  readonly dropped: (family: AddressFamily) => Promise<ReadonlyMap<string, number>>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told once each time that a kind of attack is not stopped any more. */
  readonly onBroken: (attack: Attack) => void;
}

/** Of one kind, while there is somebody to attack. */
interface Proof {
  /** When all attacks of the kind were stopped; before the first time, when the first began. */
  readonly atMs: number;
  readonly isBroken: boolean;
}

type Outcome = "stopped" | "broken" | "unknown";

const ROUND_MS = 10_000;
/** More than others, whose packets are counted as well, send in the moment that it takes. */
const PACKETS = 7;
const TRIES = 2;
/** Between them: the kernel may not hold yet what is known by now. */
const PAUSE_MS = 1_000;
/** How long packets may take until they are counted. */
const COUNTED_WITHIN_MS = 500;
const POLL_MS = 20;

export class Canary {
  readonly #parts: CanaryParts;
  readonly #proofs = new Map<AttackKind, Proof>();
  readonly #failures = new Map<AttackKind, number>();
  #turn = 0;

  constructor(parts: CanaryParts) {
    this.#parts = parts;
  }

  /** Of the last proof, by kind; of those for which there is a pod on this node. */
  get agesMs(): ReadonlyMap<AttackKind, number> {
    const nowMs = this.#parts.clock.monotonicMs();
    return new Map(Array.from(this.#proofs, ([kind, { atMs }]) => [kind, nowMs - atMs]));
  }

  /** Rounds in which an attack was not seen to be stopped. */
  get failures(): ReadonlyMap<AttackKind, number> {
    return this.#failures;
  }

  /** Attacks until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    while (!signal.aborted) {
      await this.#round(signal).catch((error: unknown) => {
        log.warn("cannot prove that policies are enforced", { error });
      });
      await clock.sleep(ROUND_MS, signal);
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const attacks = Map.groupBy(this.#plan(++this.#turn), ({ kind }) => kind);
    for (const kind of this.#proofs.keys()) if (!attacks.has(kind)) this.#proofs.delete(kind);
    const atMs = this.#parts.clock.monotonicMs();
    for (const kind of attacks.keys()) {
      this.#proofs.set(kind, this.#proofs.get(kind) ?? { atMs, isBroken: false });
    }
    for (const [kind, ofKind] of attacks) {
      const outcomes: Outcome[] = [];
      for (const attack of ofKind) outcomes.push(await this.#attack(attack, signal));
      if (signal.aborted) return;
      const broken = ofKind[outcomes.indexOf("broken")];
      if (broken !== undefined) this.#fail(broken);
      else if (!outcomes.includes("unknown")) this.#succeed(kind);
    }
  }

  #plan(turn: number): readonly Attack[] {
    const world = this.#parts.world();
    return world === undefined ? [] : planAttacks(world, turn);
  }

  async #attack(attack: Attack, signal: AbortSignal): Promise<Outcome> {
    for (let tries = 1; ; tries++) {
      if (await this.#isStopped(attack, signal)) return "stopped";
      const isStill = this.#plan(this.#turn).some((one) => isDeepStrictEqual(one, attack));
      if (!isStill || signal.aborted) return "unknown";
      if (tries === TRIES) return "broken";
      await this.#parts.clock.sleep(PAUSE_MS, signal);
    }
  }

  async #isStopped(attack: Attack, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#parts;
    const before = await this.#count(attack);
    await this.#parts.attack(attack, PACKETS);
    const endMs = clock.monotonicMs() + COUNTED_WITHIN_MS;
    for (;;) {
      if ((await this.#count(attack)) - before >= PACKETS) return true;
      if (clock.monotonicMs() >= endMs || signal.aborted) return false;
      await clock.sleep(POLL_MS, signal);
    }
  }

  async #count({ kind, family }: Attack): Promise<number> {
    const counters = await this.#parts.dropped(family);
    return COUNTED_BY[kind].reduce((sum, name) => sum + (counters.get(name) ?? 0), 0);
  }

  #succeed(kind: AttackKind): void {
    const { clock, log } = this.#parts;
    if (this.#proofs.get(kind)?.isBroken) log.info("attacks are stopped again", { attack: kind });
    this.#proofs.set(kind, { atMs: clock.monotonicMs(), isBroken: false });
  }

  #fail(attack: Attack): void {
    const { log, onBroken } = this.#parts;
    const { kind, ...way } = attack;
    this.#failures.set(kind, (this.#failures.get(kind) ?? 0) + 1);
    const proof = this.#proofs.get(kind);
    if (proof === undefined || proof.isBroken) return;
    this.#proofs.set(kind, { ...proof, isBroken: true });
    log.error("enforcement is broken: an attack was not stopped", { attack: kind, ...way });
    onBroken(attack);
  }
}
