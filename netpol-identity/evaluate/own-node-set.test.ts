import assert from "node:assert/strict";
import { test } from "node:test";
import { ownNodeSet } from "./own-node-set.ts";
import { sampleList, sampleRule, sampleSet } from "./sample-set.ts";

const DENY = sampleRule({ action: "deny" });

test("the cluster's admin alone says whether a pod may call its own node", () => {
  const network = sampleList(sampleRule());
  const set = sampleSet({ direction: "egress", admin: [DENY], denies: [DENY], network });
  const own = ownNodeSet({ ...set, otherwise: "deny" });
  assert.deepEqual(own?.admin, [DENY]);
  assert.deepEqual([own.network, own.denies, own.otherwise], [undefined, [], "open"]);
  assert.equal(ownNodeSet({ ...set, admin: [] }), undefined);
});

test("a baseline counts where the pod has no rules of its namespace", () => {
  const set = sampleSet({ direction: "egress", baseline: [DENY] });
  assert.deepEqual(ownNodeSet(set)?.baseline, [DENY]);
  assert.equal(ownNodeSet({ ...set, account: sampleList(sampleRule()) }), undefined);
});

test("equal sets have one name, which is not that of the whole", () => {
  const [a, b] = [DENY, { ...DENY }].map((rule) =>
    ownNodeSet(sampleSet({ direction: "egress", admin: [rule] })),
  );
  assert.equal(a?.id, b?.id);
  assert.notEqual(a?.id, sampleSet({ direction: "egress", admin: [DENY] }).id);
});
