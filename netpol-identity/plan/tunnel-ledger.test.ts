import assert from "node:assert/strict";
import { test } from "node:test";
import type { TunnelPeer, TunnelPlanDelta, TunnelWorkload } from "../model/tunnel-plan.ts";
import { isEmptyDelta, TunnelLedger } from "./tunnel-ledger.ts";

const X = "10.0.1.1";
const Y = "10.0.1.2";

function workload(uid: string, more: Partial<TunnelWorkload> = {}): TunnelWorkload {
  return {
    identity: "spiffe://td/ns/a/sa/b",
    namespace: "a",
    pod: uid,
    uid,
    mode: "strict",
    ...more,
  };
}

const A = workload("a");
const B = workload("b");

test("what is new is told once, what is gone once, and in between nothing", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ workloads: new Map([[X, A]]) });
  assert.ok(isEmptyDelta(ledger.takeGone()));
  assert.deepEqual(ledger.takeFresh().workloads, [[X, A]]);
  assert.ok(isEmptyDelta(ledger.takeFresh()));
  ledger.replace({ workloads: new Map([[Y, B]]) });
  assert.deepEqual(ledger.takeFresh().workloads, [[Y, B]]);
  assert.deepEqual(ledger.takeGone().workloads, [[X, null]]);
  assert.ok(isEmptyDelta(ledger.takeGone()));
});

test("F15: an address that went to another pod is taken from the old one first", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ workloads: new Map([[X, A]]) });
  ledger.takeFresh();
  ledger.replace({ workloads: new Map([[X, B]]) });
  assert.deepEqual(ledger.takeFresh().workloads, [
    [X, null],
    [X, B],
  ]);
  assert.ok(isEmptyDelta(ledger.takeGone()));
});

test("F15: so it is too when the old pod's end was seen but not told yet", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ workloads: new Map([[X, A]]) });
  ledger.takeFresh();
  ledger.replace({ workloads: new Map() });
  ledger.takeFresh();
  ledger.replace({ workloads: new Map([[X, B]]) });
  assert.deepEqual(ledger.takeFresh().workloads, [
    [X, null],
    [X, B],
  ]);
});

test("what goes and comes back before anybody was told is no news", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ workloads: new Map([[X, A]]) });
  ledger.takeFresh();
  ledger.replace({ workloads: new Map() });
  ledger.replace({ workloads: new Map([[X, workload("a")]]) });
  assert.ok(isEmptyDelta(ledger.takeFresh()));
  assert.ok(isEmptyDelta(ledger.takeGone()));
});

test("another mode of the same pod replaces, and takes nothing away", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ workloads: new Map([[X, A]]) });
  ledger.takeFresh();
  const permissive = workload("a", { mode: "permissive" });
  ledger.replace({ workloads: new Map([[X, permissive]]) });
  assert.deepEqual(ledger.takeFresh().workloads, [[X, permissive]]);
});

test("each part stands for itself, and bans are told when they differ", () => {
  const ledger = new TunnelLedger();
  const peer: TunnelPeer = { identity: A.identity, uid: "p" };
  const credential = { chain: "c", key: "k", notAfterMs: 1 };
  ledger.replace({ peers: new Map([[Y, peer]]), bans: [{ node: "n", untilMs: 1 }] });
  assert.deepEqual(ledger.takeFresh().bans, [{ node: "n", untilMs: 1 }]);
  ledger.replace({
    credentials: new Map([[A.identity, credential]]),
    bans: [{ node: "n", untilMs: 1 }],
  });
  const delta = ledger.takeFresh();
  assert.deepEqual(delta.credentials, [[A.identity, credential]]);
  assert.ok(!("bans" in delta));
  ledger.replace({ bundles: new Map([["td", ["root"]]]), credentials: new Map(), bans: [] });
  assert.deepEqual(ledger.takeGone().credentials, [[A.identity, null]]);
  const last = ledger.takeFresh();
  assert.deepEqual([last.bundles, last.bans], [[["td", ["root"]]], []]);
  assert.deepEqual(ledger.whole(), {
    bundles: [["td", ["root"]]],
    credentials: [],
    workloads: [],
    peers: [[Y, peer]],
    host: null,
    bans: [],
  });
});

test("what the node itself is, is told once, and taken back with all that is gone", () => {
  const ledger = new TunnelLedger();
  ledger.replace({ host: A });
  assert.ok(isEmptyDelta(ledger.takeGone()));
  assert.equal(ledger.takeFresh().host, A);
  assert.equal(ledger.whole().host, A);
  ledger.replace({ peers: new Map() });
  assert.ok(isEmptyDelta(ledger.takeFresh()));
  ledger.replace({ host: undefined });
  assert.ok(isEmptyDelta(ledger.takeFresh()));
  assert.equal(ledger.takeGone().host, null);
  assert.ok(isEmptyDelta(ledger.takeGone()));
});

test("whoever applies every delta in order knows the whole, after any changes", () => {
  const ledger = new TunnelLedger();
  const known = new Map<string, TunnelWorkload>();
  const apply = ({ workloads }: TunnelPlanDelta): void => {
    for (const [key, value] of workloads) {
      if (value === null) known.delete(key);
      else known.set(key, value);
    }
  };
  let seed = 1;
  const chance = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let round = 0; round < 500; round++) {
    const addresses = Array.from({ length: chance(5) }, () => `10.0.0.${chance(6)}`);
    const workloads = new Map(addresses.map((one) => [one, workload(`u-${chance(3)}`)] as const));
    ledger.replace({ workloads });
    if (chance(3) > 0) apply(ledger.takeFresh());
    if (chance(2) > 0) apply(ledger.takeGone());
  }
  apply(ledger.takeFresh());
  apply(ledger.takeGone());
  assert.deepEqual(known, new Map(ledger.whole().workloads));
});
