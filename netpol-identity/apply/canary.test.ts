// The canary's loop, against a kernel that counts what a test lets it.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import type { Attack, AttackKind, CanaryWorld } from "../plan/canary-targets.ts";
import { sampleGroups } from "../evaluate/sample-set.ts";
import { Canary } from "./canary.ts";

const ROUND_MS = 10_000;
const STEP_MS = 20;
/** Longer than a round whose attacks get through. */
const LONG_ROUND_MS = 20_000;
const POD = "10.0.0.1";
const WORLD: CanaryWorld = {
  pods: [],
  groups: sampleGroups({}),
  bound: new Set([POD]),
  strict: [POD],
};
const COUNTERS: Readonly<Partial<Record<AttackKind, string>>> = {
  "spoofed-source": "spoofed",
  plaintext: "closed",
};

class Rig {
  readonly clock = makeFakeClock();
  readonly lines: { readonly level: string; readonly attack?: string }[] = [];
  readonly broken: AttackKind[] = [];
  readonly canary: Canary;
  world: CanaryWorld | undefined = WORLD;
  /** Of each attack's packets, how many the kernel drops and counts. */
  counts = (_attack: Attack, packets: number): number => packets;
  readonly #counters = new Map<string, number>();

  constructor(t: TestContext) {
    this.canary = new Canary({
      world: () => this.world,
      attack: async (attack, packets) => {
        this.#add(COUNTERS[attack.kind] ?? "", this.counts(attack, packets));
      },
      dropped: async () => new Map(this.#counters),
      clock: this.clock,
      log: makeLogger({
        level: "info",
        format: "json",
        destination: { write: (line) => void this.lines.push(JSON.parse(line)) },
      }),
      onBroken: ({ kind }) => void this.broken.push(kind),
    });
    const end = new AbortController();
    t.after(() => end.abort());
    void this.canary.run(end.signal);
  }

  /** In steps in which the loop can keep up. */
  async pass(durationMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < durationMs; passedMs += STEP_MS) {
      await this.clock.advance(STEP_MS);
    }
  }

  /** Of the last proofs, in whole seconds. */
  get ages(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      this.canary.agesMs.entries().map(([kind, ms]) => [kind, Math.round(ms / 1_000)]),
    );
  }

  get failures(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.canary.failures);
  }

  #add(counter: string, packets: number): void {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + packets);
  }
}

test("while the kernel drops all packets, proofs stay young and nobody hears anything", async (t) => {
  const rig = new Rig(t);
  await rig.pass(3 * ROUND_MS + 1_000);
  assert.deepEqual(rig.ages, { "spoofed-source": 1, plaintext: 1 });
  assert.deepEqual([rig.failures, rig.lines, rig.broken], [{}, [], []]);
});

test("an attack that gets through is counted, told once, and told when it is over", async (t) => {
  const rig = new Rig(t);
  rig.counts = ({ kind }, packets) => (kind === "plaintext" ? packets - 1 : packets);
  await rig.pass(2 * LONG_ROUND_MS);
  assert.ok((rig.ages["plaintext"] ?? 0) > ROUND_MS / 1_000);
  assert.ok((rig.ages["spoofed-source"] ?? Infinity) <= LONG_ROUND_MS / 1_000);
  assert.ok((rig.failures["plaintext"] ?? 0) > 1);
  assert.equal(rig.failures["spoofed-source"], undefined);
  assert.deepEqual(rig.broken, ["plaintext"]);
  const told = (): readonly string[] => rig.lines.map((line) => `${line.level} ${line.attack}`);
  assert.deepEqual(told(), ["error plaintext"]);
  rig.counts = (_, packets) => packets;
  await rig.pass(LONG_ROUND_MS);
  assert.ok((rig.ages["plaintext"] ?? Infinity) <= ROUND_MS / 1_000);
  assert.deepEqual(told(), ["error plaintext", "info plaintext"]);
});

test("a second try counts: counters begin at nothing when tables are written anew", async (t) => {
  const rig = new Rig(t);
  let times = 0;
  rig.counts = (_, packets) => (times++ === 0 ? -100 : packets);
  await rig.pass(ROUND_MS);
  assert.ok(times > 2);
  assert.deepEqual(rig.failures, {});
  assert.ok((rig.ages["spoofed-source"] ?? Infinity) <= ROUND_MS / 1_000);
});

test("what is no target any more when an attack fails is neither proof nor failure", async (t) => {
  const rig = new Rig(t);
  rig.counts = () => {
    rig.world = { ...WORLD, bound: new Set(), strict: [] };
    return 0;
  };
  await rig.pass(LONG_ROUND_MS);
  assert.deepEqual([rig.failures, rig.ages, rig.lines], [{}, {}, []]);
});

test("a kind that is no target any more has no age", async (t) => {
  const rig = new Rig(t);
  rig.world = { ...WORLD, strict: [] };
  await rig.pass(ROUND_MS + STEP_MS);
  assert.deepEqual(Object.keys(rig.ages), ["spoofed-source"]);
  rig.world = undefined;
  await rig.pass(ROUND_MS + STEP_MS);
  assert.deepEqual([rig.ages, rig.lines], [{}, []]);
});

test("a kernel that cannot be asked lets proofs grow old, and the next round tries again", async (t) => {
  const rig = new Rig(t);
  await rig.pass(1);
  rig.counts = () => {
    throw new Error("no such link");
  };
  await rig.pass(2 * ROUND_MS);
  assert.ok((rig.ages["plaintext"] ?? 0) > ROUND_MS / 1_000);
  assert.deepEqual(rig.failures, {});
  rig.counts = (_, packets) => packets;
  await rig.pass(ROUND_MS + STEP_MS);
  assert.ok((rig.ages["plaintext"] ?? Infinity) <= ROUND_MS / 1_000);
});
