import assert from "node:assert/strict";
import { test } from "node:test";
import type { Groups, PolicySet } from "../evaluate/policy-set.ts";
import { sampleList, samplePeers, sampleRule, sampleSet } from "../evaluate/sample-set.ts";
import { isEmptyPolicyDelta, PolicyLedger, type PolicyView } from "./policy-ledger.ts";
import type { GroupChange, PolicyPlanDelta, PolicyPod } from "./policy-plan.ts";

function setOf(id: string, groups: readonly string[], identities: readonly string[]): PolicySet {
  const peers = samplePeers({ groups, identities });
  return sampleSet({ id, network: sampleList(sampleRule({ peers })) });
}

const pod = (uid: string, more: Partial<PolicyPod> = {}): PolicyPod => ({
  uid,
  identity: "spiffe://td/ns/a/sa/b",
  ...more,
});

function view(
  sets: readonly PolicySet[],
  members: Readonly<Record<string, ReadonlySet<string>>>,
  pods: Readonly<Record<string, PolicyPod>> = {},
): PolicyView {
  const groups: Groups = { addresses: (id) => members[id], identities: (id) => members[id] };
  return { sets, groups, pods: new Map(Object.entries(pods)) };
}

test("a set comes with its groups, each once, and in between there is nothing to tell", () => {
  const ledger = new PolicyLedger();
  const sets = [setOf("s", ["g"], ["i"])];
  ledger.replace(view(sets, { g: new Set(["10.0.0.1"]), i: new Set(["*"]), x: new Set(["y"]) }));
  assert.deepEqual(ledger.takeFresh(), {
    sets: [["s", sets[0]]],
    addresses: [["g", { added: ["10.0.0.1"], removed: [] }]],
    identities: [["i", { added: ["*"], removed: [] }]],
    pods: [],
  });
  assert.ok(isEmptyPolicyDelta(ledger.takeFresh()));
  assert.ok(isEmptyPolicyDelta(ledger.takeGone()));
});

test("of a group only who came and who went is told, and nothing while it is the same", () => {
  const ledger = new PolicyLedger();
  const sets = [setOf("s", ["g"], [])];
  ledger.replace(view(sets, { g: new Set(["a", "b"]) }));
  ledger.takeFresh();
  ledger.replace(view(sets, { g: new Set(["b", "c"]) }));
  const changes: GroupChange[] = [["g", { added: ["c"], removed: ["a"] }]];
  assert.deepEqual(ledger.takeFresh().addresses, changes);
  ledger.replace(view(sets, { g: new Set(["c", "b"]) }));
  assert.ok(isEmptyPolicyDelta(ledger.takeFresh()));
});

test("what no set asks about is gone, after what takes its place was told", () => {
  const ledger = new PolicyLedger();
  ledger.replace(view([setOf("s", ["g"], [])], { g: new Set() }, { x: pod("1") }));
  assert.deepEqual(ledger.takeFresh().addresses, [["g", { added: [], removed: [] }]]);
  ledger.replace(view([setOf("t", ["h"], [])], { h: new Set(["a"]) }));
  const fresh = ledger.takeFresh();
  assert.deepEqual(
    fresh.sets.map(([id]) => id),
    ["t"],
  );
  assert.deepEqual(ledger.takeGone(), {
    sets: [["s", null]],
    addresses: [["g", null]],
    identities: [],
    pods: [["x", null]],
  });
  assert.deepEqual(ledger.whole().addresses, [["h", { added: ["a"], removed: [] }]]);
});

test("a group that the cluster does not know is not told: its set denies", () => {
  const ledger = new PolicyLedger();
  ledger.replace(view([setOf("s", ["g"], [])], {}));
  const { sets, addresses } = ledger.takeFresh();
  assert.deepEqual([sets.length, addresses.length], [1, 0]);
});

test("a pod is told anew when another set holds for it, and not when it is only another object", () => {
  const ledger = new PolicyLedger();
  ledger.replace(view([], {}, { x: pod("1", { ingress: "s" }) }));
  ledger.takeFresh();
  ledger.replace(view([], {}, { x: pod("1", { ingress: "s" }) }));
  assert.ok(isEmptyPolicyDelta(ledger.takeFresh()));
  ledger.replace(view([], {}, { x: pod("1", { ingress: "t", isLocal: true }) }));
  assert.deepEqual(ledger.takeFresh().pods, [["x", pod("1", { ingress: "t", isLocal: true })]]);
});

test("whoever applies every delta in order knows the whole, after any changes", () => {
  const ledger = new PolicyLedger();
  const known = new Map<string, Set<string>>();
  const apply = ({ addresses }: PolicyPlanDelta): void => {
    for (const [id, change] of addresses) {
      if (change === null) {
        known.delete(id);
        continue;
      }
      const members = known.get(id) ?? new Set();
      for (const one of change.removed) members.delete(one);
      for (const one of change.added) members.add(one);
      known.set(id, members);
    }
  };
  let seed = 1;
  const chance = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 500; round++) {
    const ids = Array.from({ length: chance(4) }, () => `g${chance(4)}`);
    const members = Object.fromEntries(
      ids.map((id) => [id, new Set(Array.from({ length: chance(4) }, () => `m${chance(5)}`))]),
    );
    ledger.replace(view([setOf(`s${round}`, ids, [])], members));
    if (chance(3) > 0) apply(ledger.takeFresh());
    if (chance(2) > 0) apply(ledger.takeGone());
  }
  apply(ledger.takeFresh());
  apply(ledger.takeGone());
  const whole = ledger
    .whole()
    .addresses.map(([id, change]) => [id, new Set(change?.added)] as const);
  assert.deepEqual(known, new Map(whole));
});

test("of a map that is changed in place only what was touched is looked at", () => {
  const ledger = new PolicyLedger();
  const pods = new Map([
    ["10.0.0.1", pod("a")],
    ["10.0.0.2", pod("b")],
  ]);
  const { sets, groups } = view([], {});
  ledger.replace({ sets, groups, pods });
  ledger.takeFresh();
  ledger.takeGone();
  pods.set("10.0.0.1", pod("c"));
  pods.delete("10.0.0.2");
  ledger.replace({ sets, groups, pods });
  assert.ok(isEmptyPolicyDelta(ledger.takeFresh()) && isEmptyPolicyDelta(ledger.takeGone()));
  ledger.replace({ sets, groups, pods, touched: ["10.0.0.1", "10.0.0.2"] });
  assert.deepEqual(ledger.takeFresh().pods, [["10.0.0.1", pod("c")]]);
  assert.deepEqual(ledger.takeGone().pods, [["10.0.0.2", null]]);
  assert.deepEqual(ledger.whole().pods, [["10.0.0.1", pod("c")]]);
});
