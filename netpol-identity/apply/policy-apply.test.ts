import assert from "node:assert/strict";
import { test } from "node:test";
import { makeLogger } from "../../lib/log/logger.ts";
import { type FakeKernel, makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError } from "../../lib/nft/objects.ts";
import { planPolicyTables } from "../plan/policy-table.ts";
import { POLICY_TABLE, type PolicyWorld } from "../plan/policy-table-parts.ts";
import { sampleWorld } from "../plan/sample-policy-world.ts";
import { PolicyApply } from "./policy-apply.ts";

const log = makeLogger({ level: "error", format: "json", destination: { write: () => {} } });
const PLACES = ["ip", "ip6", "netdev", "bridge"] as const;

/** Without pod `a`, which was strict and on the bridge. */
function smallerWorld(): PolicyWorld {
  const world = sampleWorld();
  const isOther = ({ uid }: { readonly uid: string }): boolean => uid !== "a";
  return {
    ...world,
    pods: world.pods.filter(isOther),
    bindings: world.bindings.filter(isOther),
    peers: [],
  };
}

async function contents(kernel: FakeKernel): Promise<string> {
  const tables = await Promise.all(PLACES.map((place) => kernel.read(place, POLICY_TABLE)));
  const texts = tables.map((table) => {
    const sets = [...(table?.sets ?? [])].map(([name, elements]) => [name, sorted(elements)]);
    return [sorted(sets), sorted(table?.chains ?? [])];
  });
  return JSON.stringify(texts);
}

function sorted(items: Iterable<unknown>): string[] {
  return Array.from(items, (item) => JSON.stringify(item)).toSorted();
}

async function fresh(world: PolicyWorld): Promise<string> {
  const kernel = makeFakeKernel();
  await new PolicyApply(kernel, log).apply(planPolicyTables(world));
  return contents(kernel);
}

test("from one plan to another and back the tables are as if made anew", async () => {
  const kernel = makeFakeKernel();
  const apply = new PolicyApply(kernel, log);
  for (const world of [sampleWorld(), smallerWorld(), sampleWorld()]) {
    await apply.apply(planPolicyTables(world));
    assert.equal(await contents(kernel), await fresh(world));
  }
});

test("nothing new is no commit", async () => {
  const kernel = makeFakeKernel();
  const apply = new PolicyApply(kernel, log);
  await apply.apply(planPolicyTables(sampleWorld()));
  const generation = await kernel.generation();
  await apply.apply(planPolicyTables(sampleWorld()));
  assert.equal(await kernel.generation(), generation);
});

test("whichever commit fails, the tables are old or new, and the next call makes them new", async () => {
  const [old, wanted] = [await fresh(smallerWorld()), await fresh(sampleWorld())];
  for (let failing = 2; failing <= 4; failing++) {
    const kernel = makeFakeKernel();
    const apply = new PolicyApply(kernel, log);
    await apply.apply(planPolicyTables(smallerWorld()));
    kernel.onCommit = (ordinal) => {
      if (ordinal >= failing) throw new NftError("commit", "ENOMEM");
    };
    await apply.apply(planPolicyTables(sampleWorld())).catch((error: unknown) => {
      assert(error instanceof NftError);
    });
    assert([old, wanted].includes(await contents(kernel)));
    kernel.onCommit = undefined;
    await apply.apply(planPolicyTables(sampleWorld()));
    assert.equal(await contents(kernel), wanted);
  }
});

test("a successor replaces what it finds, in one commit", async () => {
  const kernel = makeFakeKernel();
  await new PolicyApply(kernel, log).apply(planPolicyTables(sampleWorld()));
  const generation = await kernel.generation();
  await new PolicyApply(kernel, log).apply(planPolicyTables(smallerWorld()));
  assert.equal(await kernel.generation(), generation + 1);
  assert.equal(await contents(kernel), await fresh(smallerWorld()));
});

test("an audit mends what others changed, and says what it was", async () => {
  const kernel = makeFakeKernel();
  const apply = new PolicyApply(kernel, log);
  await apply.apply(planPolicyTables(sampleWorld()));
  assert.deepEqual(await apply.audit(), []);
  const changes = [{ kind: "flush-chain", chain: "guard" }] as const;
  await kernel.commit([{ family: "ip", layer: "netdev", table: POLICY_TABLE, changes }]);
  assert.deepEqual(await apply.audit(), ["chain netdev guard differs"]);
  assert.equal(await contents(kernel), await fresh(sampleWorld()));
  await kernel.commit([
    { family: "ip6", table: POLICY_TABLE, changes: [{ kind: "delete-table" }] },
  ]);
  assert.deepEqual(await apply.audit(), ["table ip6 innermesh-policy is gone"]);
  assert.deepEqual(await apply.audit(), []);
});

test("the word that a worker lives survives that all is written anew", async () => {
  const kernel = makeFakeKernel();
  const apply = new PolicyApply(kernel, log);
  const isAlive = (): boolean =>
    kernel.table("ip", POLICY_TABLE)?.sets.get("alive")?.elements.has("tcp") ?? false;
  await apply.tell("living");
  await apply.apply(planPolicyTables(sampleWorld()));
  assert(isAlive());
  await apply.tell("dead");
  assert(!isAlive());
});
