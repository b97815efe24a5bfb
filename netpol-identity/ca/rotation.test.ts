import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { type AuthorityMaterial, makeRootMaterial } from "./root-material.ts";
import {
  DEFAULT_ROTATION_TIMINGS,
  planRotation,
  type RotationOptions,
  type RotationPlan,
  type WantedSigner,
} from "./rotation.ts";
import { recoverAuthority } from "./rotation-recovery.ts";
import {
  type AuthorityState,
  formatAuthorityState,
  parseAuthorityState,
} from "./rotation-state.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const START_MS = Date.parse("2026-06-01T12:00:00Z");
const TIMINGS = { ...DEFAULT_ROTATION_TIMINGS, spreadMs: 5 * MINUTE_MS, leafLifetimeMs: HOUR_MS };
const YEAR_MS = 365 * 24 * HOUR_MS;

const trustDomain = "cluster.local";
const make = (nowMs = START_MS): AuthorityMaterial =>
  makeRootMaterial({ trustDomain, nowMs, randomBytes });
const own = (generation: number, made = make): WantedSigner => ({
  kind: "own",
  generation,
  make: made,
});
const supplied = (material: AuthorityMaterial): WantedSigner => ({ kind: "supplied", material });

function start(): AuthorityState {
  return recoverAuthority({
    trustDomain,
    stored: undefined,
    published: undefined,
    make: () => ({ ...make(), generation: 0 }),
    leafLifetimeMs: HOUR_MS,
    nowMs: START_MS,
  });
}

function plan(
  state: AuthorityState,
  wanted: WantedSigner,
  minutes: number,
  timings: Partial<RotationOptions> = {},
): RotationPlan {
  const nowMs = START_MS + minutes * MINUTE_MS;
  return planRotation(state, { ...TIMINGS, nowMs, wanted, ...timings });
}

const pems = ({ roots }: AuthorityState): readonly string[] => roots.map(({ pem }) => pem);

test("nothing is to be done when what is wanted signs", () => {
  const state = start();
  const { state: same, step, nextMs } = plan(state, own(0), 0);
  assert.equal(same, state);
  assert.equal(step, "none");
  assert.equal(nextMs, START_MS + 9 * YEAR_MS);
});

test("a new generation is added at once, signs after the spread, and ends the old root last", () => {
  const state = start();
  const added = plan(state, own(1), 0);
  assert.equal(added.step, "add");
  assert.equal(added.state.active, state.active);
  assert.deepEqual(pems(added.state).slice(0, 1), pems(state));
  assert.equal(added.state.roots.length, 2);

  const early = plan(added.state, own(1), 4);
  assert.equal(early.step, "none");
  assert.equal(early.nextMs, START_MS + 5 * MINUTE_MS);
  const switched = plan(added.state, own(1), 5);
  assert.equal(switched.step, "switch");
  assert.equal(switched.state.active, added.state.next);
  assert.equal(switched.state.next, undefined);
  assert.deepEqual(pems(switched.state), pems(added.state));

  // Leaves of the old root live for an hour, and a replica may lag by the spread.
  const late = plan(switched.state, own(1), 5 + 64);
  assert.equal(late.step, "none");
  assert.equal(late.nextMs, START_MS + (5 + 65) * MINUTE_MS);
  const removed = plan(switched.state, own(1), 5 + 65);
  assert.equal(removed.step, "remove");
  assert.deepEqual(pems(removed.state), removed.state.active.roots);
  assert.equal(plan(removed.state, own(1), 5 + 65).step, "none");
});

test("each step is a version, and says why", () => {
  let state = start();
  for (const minutes of [0, 5, 70]) {
    const { state: next, why } = plan(state, own(1), minutes);
    assert.equal(next.version, state.version + 1);
    assert.notEqual(why, "");
    ({ ...state } = next);
  }
  assert.equal(state.roots.length, 1);
});

test("a step that was planned but not written is planned again, with the same outcome", () => {
  const state = start();
  const next = make();
  const [first, second] = [0, 1].map(() => plan(state, supplied(next), 0));
  assert.deepEqual(first, second);
});

test("material that a user supplies takes the same three steps", () => {
  const state = start();
  const theirs = make();
  const added = plan(state, supplied(theirs), 0).state;
  assert.equal(added.next, theirs);
  const switched = plan(added, supplied(theirs), 5).state;
  assert.equal(switched.active, theirs);
  const removed = plan(switched, supplied(theirs), 70).state;
  assert.deepEqual(pems(removed), theirs.roots);
});

test("a new intermediate below a root that all know signs without waiting", () => {
  const root = make();
  const [first, second] = [make(), make()].map((material) => ({ ...material, roots: root.roots }));
  assert.ok(first !== undefined && second !== undefined);
  const known = { ...start(), active: first, roots: [{ pem: root.certificate, addedMs: 0 }] };
  const added = plan(known, supplied(second), 0);
  assert.deepEqual(added.state.roots, known.roots);
  const switched = plan(added.state, supplied(second), 0);
  assert.equal(switched.step, "switch");
  assert.deepEqual(pems(switched.state), pems(known));
  assert.equal(plan(switched.state, supplied(second), 0).step, "none");
});

test("a wish that is taken back before the switch leaves no trace", () => {
  const state = start();
  const added = plan(state, supplied(make()), 0).state;
  const dropped = plan(added, own(0), 1);
  assert.equal(dropped.step, "remove");
  assert.equal(dropped.state.next, undefined);
  const removed = plan(dropped.state, own(0), 1);
  assert.equal(removed.step, "remove");
  assert.deepEqual(pems(removed.state), pems(state));
});

test("a wish that changes before the switch starts over with the new one", () => {
  const [theirs, better] = [make(), make()];
  const added = plan(start(), supplied(theirs), 0).state;
  const again = plan(added, supplied(better), 4);
  assert.equal(again.step, "add");
  assert.equal(again.state.next, better);
  assert.equal(plan(again.state, supplied(better), 5).step, "remove");
  const without = plan(again.state, supplied(better), 5).state;
  assert.ok(!pems(without).includes(theirs.certificate));
  assert.equal(plan(without, supplied(better), 8).step, "none");
  assert.equal(plan(without, supplied(better), 9).step, "switch");
});

test("a root that is on its way out stays when its signer comes back", () => {
  const state = start();
  const first = state.active;
  const switched = plan(plan(state, own(1), 0).state, own(1), 5).state;
  const back = plan(switched, supplied(first), 6);
  assert.equal(back.step, "add");
  assert.deepEqual(pems(back.state), pems(switched));
  // All agents have known it for long.
  const again = plan(back.state, supplied(first), 6);
  assert.equal(again.step, "switch");
  assert.deepEqual(pems(plan(again.state, supplied(first), 71).state), first.roots);
});

test("our own root is replaced a year before its end, a user's is theirs to replace", () => {
  const state = start();
  const nearEnd = 9 * 365 * 24 * 60;
  const renewed = plan(state, own(0), nearEnd);
  assert.equal(renewed.step, "add");
  assert.equal(renewed.state.next?.generation, 0);
  assert.equal(plan(state, supplied(state.active), nearEnd).step, "none");
});

test("a signer that has expired is not waited for", () => {
  const state = start();
  const expired = 10 * 365 * 24 * 60;
  const fresh = (): AuthorityMaterial => make(START_MS + expired * MINUTE_MS);
  const added = plan(state, own(0, fresh), expired).state;
  assert.equal(plan(added, own(0, fresh), expired).step, "switch");
});

test("a longer lifetime is remembered before it is used, and prolongs the old root", () => {
  const state = start();
  const longer = plan(state, own(0), 0, { leafLifetimeMs: 3 * HOUR_MS });
  assert.equal(longer.step, "none");
  assert.equal(longer.state.version, state.version + 1);
  assert.equal(longer.state.leafLifetimeMs, 3 * HOUR_MS);
  // Shortened again: leaves of three hours are still about.
  const added = plan(longer.state, own(1), 0).state;
  const switched = plan(added, own(1), 5).state;
  assert.equal(switched.leafLifetimeMs, HOUR_MS);
  assert.equal(plan(switched, own(1), 5 + 184).step, "none");
  assert.equal(plan(switched, own(1), 5 + 185).step, "remove");
});

test("a signer that comes back and is turned away again keeps its root while its leaves live", () => {
  const state = start();
  const first = state.active;
  const switched = plan(plan(state, own(1), 0).state, own(1), 5).state;
  const back = plan(switched, supplied(first), 6).state;
  const dropped = plan(back, own(1), 6).state;
  assert.deepEqual(pems(dropped), pems(switched));
  assert.equal(plan(dropped, own(1), 69).step, "none");
  assert.equal(plan(dropped, own(1), 70).step, "remove");
});

interface Leaf {
  readonly root: string;
  readonly untilMs: number;
}

/** Checks at every moment what agents may present against what agents may still believe. */
class Story {
  nowMs = START_MS;
  state = start();
  #leaves: readonly Leaf[] = [];
  #bundles = [{ untilMs: Number.POSITIVE_INFINITY, roots: pems(this.state) }];

  step(wanted: WantedSigner, leafLifetimeMs: number): void {
    const { nowMs } = this;
    const { state } = planRotation(this.state, { ...TIMINGS, nowMs, wanted, leafLifetimeMs });
    if (state === this.state) return;
    this.state = state;
    const ended = this.#bundles.map((b) => ({ ...b, untilMs: Math.min(b.untilMs, nowMs) }));
    this.#bundles = [...ended, { untilMs: Number.POSITIVE_INFINITY, roots: pems(state) }];
  }

  sign(leafLifetimeMs: number): void {
    const lifetimeMs = Math.min(leafLifetimeMs, this.state.leafLifetimeMs);
    const root = this.state.active.roots[0] ?? "";
    this.#leaves = [...this.#leaves, { root, untilMs: this.nowMs + lifetimeMs }];
  }

  check(): void {
    this.#leaves = this.#leaves.filter(({ untilMs }) => untilMs > this.nowMs);
    const oldestMs = this.nowMs - TIMINGS.spreadMs;
    this.#bundles = this.#bundles.filter(({ untilMs }) => untilMs > oldestMs);
    for (const { roots } of this.#bundles) {
      for (const { root } of this.#leaves) assert.ok(roots.includes(root));
    }
  }
}

test("whenever an agent looks, late as it may be, it trusts every leaf that is valid", () => {
  const wishes = { theirs: supplied(make()), others: supplied(make()), own: own(0), newer: own(1) };
  const moves = fc.record({
    minutes: fc.constantFrom(0, 1, 6, 30),
    wish: fc.constantFrom("theirs", "others", "own", "newer"),
    leafLifetimeMs: fc.constantFrom(10 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS),
    // Fewer than are due: it crashed in between.
    steps: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(moves, { maxLength: 40, size: "max" }), (moved) => {
      const story = new Story();
      for (const { minutes, wish, leafLifetimeMs, steps } of moved) {
        story.nowMs += minutes * MINUTE_MS;
        for (let i = 0; i < steps; i++) story.step(wishes[wish], leafLifetimeMs);
        story.sign(leafLifetimeMs);
        story.check();
      }
    }),
    { numRuns: 300 },
  );
});

test("a state survives its text; other texts are no state", () => {
  for (const state of [start(), plan(start(), own(1), 0).state]) {
    assert.deepEqual(parseAuthorityState(formatAuthorityState(state)), state);
  }
  const { roots: _roots, ...partial } = start();
  for (const text of ["", "{", "null", "[]", "{}", JSON.stringify(partial)]) {
    assert.equal(parseAuthorityState(text), undefined, text);
  }
  const [root = { pem: "", addedMs: 0 }] = start().roots;
  for (const change of [
    { version: -1 },
    { version: 1.5 },
    { active: {} },
    { next: null },
    { roots: [] },
    { roots: [{ ...root, addedMs: "0" }] },
  ]) {
    assert.equal(parseAuthorityState(JSON.stringify({ ...start(), ...change })), undefined);
  }
  fc.assert(fc.property(fc.json(), (text) => void parseAuthorityState(text)));
});
