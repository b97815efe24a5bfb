import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Change, TableContents } from "../../lib/nft/objects.ts";
import { transaction, wholeTransaction } from "../../service-proxy/plan/changes.ts";
import { setSpec } from "../../service-proxy/plan/ruleset.ts";
import { takeSnapshot } from "../snapshot.ts";
import { tableDifferences } from "./table-differences.ts";

const source = join(import.meta.dirname, "../explain/testdata/cluster");
const { plan } = await takeSnapshot([`--source=dir:${source}`, "--hostname-override=node-1"]);
const family = plan.families.find(({ options }) => options.family === "ip") ?? assert.fail();

async function after(...changes: Change[]): Promise<TableContents> {
  const kernel = makeFakeKernel();
  await kernel.commit([wholeTransaction(family), transaction("ip", changes)]);
  return (await kernel.read("ip", "innermesh")) ?? assert.fail();
}

test("a table as planned has no difference", async () => {
  assert.deepEqual(tableDifferences(family, await after()), []);
});

test("elements that lack, are extra or differ are each named", async () => {
  const set = setSpec("vips");
  const [one = "", two = ""] = family.ledger.wanted.get("vips")?.keys() ?? [];
  const contents = await after(
    { kind: "delete-elements", set, keys: [one, two] },
    { kind: "add-elements", set, elements: [{ key: two, data: "0:99" }] },
    { kind: "add-elements", set, elements: [{ key: "192.0.2.9 . tcp . 1", data: "0:1" }] },
  );
  assert.deepEqual(
    new Set(tableDifferences(family, contents)),
    new Set([
      `set ip vips lacks ${one}`,
      `set ip vips differs in ${two}`,
      "set ip vips has extra 192.0.2.9 . tcp . 1",
    ]),
  );
});

test("an emptied chain and a strange one are differences, one of an earlier demand is not", async () => {
  const contents = await after(
    { kind: "flush-chain", chain: "services" },
    { kind: "add-chain", chain: { name: "strange" } },
    { kind: "add-chain", chain: { name: "mod-77" } },
  );
  const differences = tableDifferences(family, contents);
  assert.match(differences[0] ?? "", /chain ip services has 0 rules instead of \d+/);
  assert.equal(differences[1], "chain ip strange is not ours");
  assert.equal(differences.length, 2);
});
