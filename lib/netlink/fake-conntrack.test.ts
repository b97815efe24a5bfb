import assert from "node:assert/strict";
import { test } from "node:test";
import { conntrackContract } from "./conntrack-contract.ts";
import { makeFakeConntrack } from "./fake-conntrack.ts";

conntrackContract("fake", () => {
  const table = makeFakeConntrack();
  return { table, add: (entry) => void table.add(entry) };
});

test("a failure comes at the call it was set for, once", async () => {
  const table = makeFakeConntrack();
  table.failAt(2, "EPERM");
  for await (const _ of table.list("ip"));
  const walk = async (): Promise<void> => {
    for await (const _ of table.list("ip"));
  };
  await assert.rejects(walk, { name: "ConntrackError", code: "EPERM" });
  await walk();
});
