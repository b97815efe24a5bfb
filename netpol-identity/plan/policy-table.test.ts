import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { formatTransaction } from "../../lib/nft/text.ts";
import { type TablePlan, wholeTable } from "../../lib/nft/table-plan.ts";
import { planPolicyTables } from "./policy-table.ts";
import type { PolicyWorld } from "./policy-table-parts.ts";
import { sampleWorld } from "./sample-policy-world.ts";

test("all four tables, as text", (t) => {
  const transactions = planPolicyTables(sampleWorld()).flatMap(wholeTable);
  const text = transactions.map(formatTransaction).join("");
  t.assert.fileSnapshot(text, join(import.meta.dirname, "testdata", "policy-tables.nft"), {
    serializers: [(value) => String(value)],
  });
});

test("an enrolled pod without an interface answers for its address, so that nobody is heard", () => {
  assert.deepEqual(keys(sampleWorld(), "ip", "pods"), ["10.71.1.2", "10.71.1.3", "10.71.1.4"]);
});

test("a pod that is neither enrolled nor bound is left alone", () => {
  const world = sampleWorld();
  const stranger = { uid: "d", addresses: ["10.71.1.9"], mode: "off" } as const;
  const tables = { ...world, pods: [...world.pods, stranger] };
  assert.deepEqual(keys(tables, "ip", "pods"), keys(world, "ip", "pods"));
});

test("only strict pods of this node are closed, from the moment their address is known", () => {
  assert.deepEqual(keys(sampleWorld(), "ip", "closed"), ["10.71.1.2", "10.71.1.4"]);
  assert.deepEqual(keys(sampleWorld(), "ip6", "closed"), ["fd71:1::2"]);
});

test("calls to strict pods need a worker, calls to permissive ones go without", () => {
  const direct = setOf(sampleWorld(), "ip", "direct");
  const verdicts = [...direct].map(([key, { data }]) => `${key} : ${data}`).toSorted();
  assert.deepEqual(verdicts, [
    "10.71.1.2 : goto entry-direct",
    "10.71.1.3 : goto entry-living",
    "10.71.1.4 : goto entry-direct",
    "10.71.2.2 : goto entry-direct",
  ]);
});

test("on a bridge the ports of strict and of isolated pods hear what is theirs alone", () => {
  const { network, ...open } = sampleWorld();
  assert.ok(network);
  const world = { ...open, pods: open.pods.map((pod) => ({ ...pod, mode: "off" as const })) };
  assert.deepEqual(keys(open, "bridge", "closed-ports"), ["5"]);
  assert.deepEqual(keys(world, "bridge", "closed-ports"), []);
  assert.deepEqual(keys({ ...world, network }, "bridge", "closed-ports"), ["5"]);
});

test("without a detour nothing is lifted", () => {
  const { detour, ...world } = sampleWorld();
  assert.ok(detour);
  const netdev = planPolicyTables(world).find(({ layer }) => layer === "netdev");
  const lift = netdev?.chains.find(({ spec }) => spec.name === "lift");
  assert.deepEqual(lift?.rules, []);
  assert.equal(setOf(world, "netdev", "enrolled-ip").size, 0);
});

function setOf(world: PolicyWorld, place: string, name: string) {
  const tables: readonly TablePlan[] = planPolicyTables(world);
  const table = tables.find(({ family, layer }) => (layer ?? family) === place);
  return table?.sets.find(({ spec }) => spec.name === name)?.elements ?? assert.fail(name);
}

function keys(world: PolicyWorld, place: string, name: string): readonly string[] {
  return [...setOf(world, place, name).keys()].toSorted();
}
