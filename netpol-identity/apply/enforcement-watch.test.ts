import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { formatEnforcement } from "../model/enforcement-report.ts";
import { EnforcementWatch, PATIENCE_MS, ROUND_MS, SOON_MS } from "./enforcement-watch.ts";

function makeRig() {
  const clock = makeFakeClock();
  const asked: string[] = [];
  const world = { revision: "1", isDown: false, generation: 1 };
  const agents = new Map<string, string | undefined>([
    ["a", "10.0.0.1"],
    ["b", undefined],
  ]);
  const watch = new EnforcementWatch({
    agents: () => agents,
    ask: async (address, path) => {
      asked.push(`${address} ${path}`);
      if (world.isDown) throw new Error("down");
      if (path === "/policyz/revision") return world.revision;
      return formatEnforcement({ policies: new Map([["u", world.generation]]), problems: [] });
    },
    clock,
  });
  const generation = (): number | string => {
    const answer = watch.answers?.get("a");
    if (answer?.kind !== "report") return answer?.why ?? "unknown";
    return answer.report.policies.get("u") ?? "none";
  };
  return { clock, asked, world, watch, agents, generation };
}

test("nodes are asked in rounds, for the whole report only where it is new", async () => {
  const { clock, asked, world, watch, agents, generation } = makeRig();
  const stop = new AbortController();
  assert.equal(generation(), "unknown");
  let rounds = 0;
  watch.onChange(() => rounds++);
  const running = watch.run(stop.signal);
  await clock.advance(0);
  assert.equal(generation(), 1);
  assert.deepEqual(watch.answers?.get("b"), { kind: "silent", why: "no agent runs there" });
  assert.deepEqual(asked, ["10.0.0.1 /policyz/revision", "10.0.0.1 /policyz"]);
  await clock.advance(ROUND_MS);
  assert.equal(asked.length, 3);
  Object.assign(world, { revision: "2", generation: 2 });
  await clock.advance(ROUND_MS);
  assert.equal(generation(), 2);
  assert.equal(rounds, 3);
  agents.delete("a");
  await clock.advance(ROUND_MS);
  assert.deepEqual([...(watch.answers?.keys() ?? [])], ["b"]);
  stop.abort();
  await running;
});

test("a change is asked about soon", async () => {
  const { clock, world, watch, generation } = makeRig();
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await clock.advance(0);
  Object.assign(world, { revision: "2", generation: 2 });
  watch.hurry();
  await clock.advance(0);
  await clock.advance(SOON_MS);
  assert.equal(generation(), 2);
  stop.abort();
  await running;
});

test("an answer outlives a short silence and no long one", async () => {
  const { clock, world, watch, generation } = makeRig();
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await clock.advance(0);
  world.isDown = true;
  await clock.advance(ROUND_MS);
  assert.equal(generation(), 1);
  await clock.advance(PATIENCE_MS);
  assert.equal(generation(), "down");
  stop.abort();
  await running;
});
