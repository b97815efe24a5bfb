// The runner: selection, retries, limits, interruption, and clean-up whatever happens.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { ConformanceCase } from "./case.ts";
import { ClaimError } from "./claim.ts";
import { answeredBy } from "./expectation.ts";
import { makeFakeRun } from "./fake/fake-run.ts";
import { runCases } from "./runner.ts";
import { selectCases } from "./select.ts";

function makeCase(
  id: string,
  run: ConformanceCase["run"],
  rest: Partial<ConformanceCase> = {},
): ConformanceCase {
  return { id, name: `${id} holds`, families: "once", needs: {}, run, ...rest };
}

interface Given {
  readonly retries?: number;
  readonly parallel?: number;
  readonly keep?: boolean;
  readonly signal?: AbortSignal;
}

async function runFake(cases: readonly ConformanceCase[], given: Given = {}) {
  const { objects, ...doors } = makeFakeRun();
  const { retries = 0, parallel = 1, keep = false, signal } = given;
  const run = await runCases(
    {
      ...doors,
      suite: "test",
      cases,
      cluster: objects,
      limitMs: 1_000,
      retries,
      parallel,
      keep,
      onResult: () => {},
    },
    signal ?? new AbortController().signal,
  );
  return { objects, cases: run.cases, outcomes: run.cases.map(({ outcome }) => outcome) };
}

const makesThings: ConformanceCase["run"] = async (stage) => {
  const service = await stage.service({ endpoints: stage.pods });
  const byHand = await stage.service({ endpoints: "by-hand" });
  await byHand.putEndpoints([{ agent: stage.pod(0) }]);
  await stage.setReady(stage.pod(0), false);
  await stage.claim("it answers", stage.pod(0), service.at("tcp"), answeredBy(stage.pods));
};

test("a failed case is run again; passing then makes it flaky, with the earlier reasons", async () => {
  let attempts = 0;
  const wobbly = makeCase("wobbly", async () => {
    attempts += 1;
    if (attempts < 3) throw new ClaimError(`attempt ${attempts}`);
  });
  const { outcomes } = await runFake([wobbly], { retries: 2 });
  assert.deepEqual(outcomes, [{ kind: "flaky", earlier: ["attempt 1", "attempt 2"] }]);
});

test("a case that fails at every attempt fails with the last reason and the earlier ones", async () => {
  let attempts = 0;
  const bad = makeCase("bad", async () => {
    attempts += 1;
    throw new ClaimError(`attempt ${attempts}`);
  });
  const { outcomes } = await runFake([bad], { retries: 1 });
  assert.deepEqual(outcomes, [{ kind: "failed", why: "attempt 2", earlier: ["attempt 1"] }]);
});

test("a claim that never comes true fails after its time with what was seen", async () => {
  const hopeless = makeCase("hopeless", async (stage) => {
    const service = await stage.service({ endpoints: [] });
    await stage.claim("it answers", stage.pod(0), service.at("tcp"), answeredBy(stage.pods));
  });
  const { outcomes, objects } = await runFake([hopeless]);
  const [outcome] = outcomes;
  assert.ok(outcome?.kind === "failed");
  assert.match(outcome.why, /^it answers: after 1000 ms tcp node-a-pod-1 .* saw REFUSED ×4$/);
  assert.deepEqual(objects.leftovers, []);
});

test("everything is removed when a case passes, fails, or dies of a bug", async () => {
  const dies = makeCase("dies", async (stage) => {
    await makesThings(stage);
    throw new TypeError("a bug");
  });
  const { objects, outcomes } = await runFake([makeCase("passes", makesThings), dies]);
  assert.deepEqual(objects.leftovers, []);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ["passed", "failed"],
  );
});

test("--keep leaves everything", async () => {
  const { objects } = await runFake([makeCase("kept", makesThings)], { keep: true });
  assert.ok(objects.leftovers.length >= 3, objects.leftovers.join(" "));
});

test("an interrupted run ends the case at its next step and removes what it made", async () => {
  const controller = new AbortController();
  const cut = makeCase("cut", async (stage) => {
    const service = await stage.service({ endpoints: stage.pods });
    controller.abort();
    await stage.claim("it answers", stage.pod(0), service.at("tcp"), answeredBy(stage.pods));
  });
  const never = makeCase("never", async () => assert.fail("must not start"));
  const { objects, outcomes } = await runFake([cut, never], {
    signal: controller.signal,
    keep: true,
    retries: 3,
  });
  assert.deepEqual(outcomes, [{ kind: "interrupted" }, { kind: "interrupted" }]);
  assert.deepEqual(objects.leftovers, []);
});

test("cases run side by side up to the limit; exclusive ones run alone", async () => {
  let running = 0;
  const peaks = new Map<string, number>();
  const timed = (id: string, exclusive: boolean) =>
    makeCase(
      id,
      async () => {
        running += 1;
        for (let turn = 0; turn < 5; turn += 1) {
          peaks.set(id, Math.max(peaks.get(id) ?? 0, running));
          await new Promise((resolve) => setImmediate(resolve));
        }
        running -= 1;
      },
      { exclusive },
    );
  const cases = [timed("a", false), timed("alone", true), timed("b", false), timed("c", false)];
  const { cases: results } = await runFake(cases, { parallel: 2 });
  assert.equal(Math.max(...peaks.values()), 2);
  assert.equal(peaks.get("alone"), 1);
  assert.deepEqual(
    results.map(({ id }) => id),
    ["a", "alone", "b", "c"],
  );
});

test("--test takes any that match, less those that a pattern with ! matches", () => {
  const cases = ["tcp-a", "tcp-b", "udp-a"].map((id) => makeCase(id, async () => {}));
  const ids = (patterns: readonly string[]) => selectCases(cases, patterns).map(({ id }) => id);
  assert.deepEqual(ids([]), ["tcp-a", "tcp-b", "udp-a"]);
  assert.deepEqual(ids(["^tcp"]), ["tcp-a", "tcp-b"]);
  assert.deepEqual(ids(["^tcp", "!b$"]), ["tcp-a"]);
  assert.deepEqual(ids(["!^tcp"]), ["udp-a"]);
  assert.throws(() => ids(["sctp"]), /Cannot choose cases by --test "sctp": none matches/);
  assert.throws(() => ids(["("]), /Cannot read --test "\("/);
});
