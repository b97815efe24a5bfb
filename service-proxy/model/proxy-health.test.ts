import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isNodeEligible,
  judgeHealth,
  type Moment,
  noteQueued,
  noteSynced,
  startingHealth,
} from "./proxy-health.ts";

const TIMEOUT_MS = 60_000;

function at(ms: number): Moment {
  return { monotonicMs: ms, wallMs: 1_000_000 + ms };
}

function judge(health: Parameters<typeof judgeHealth>[0], ms: number) {
  return judgeHealth(health, { now: at(ms), timeoutMs: TIMEOUT_MS });
}

const synced = noteSynced(startingHealth(["IPv4"]), "IPv4", { now: at(10) });

test("before the first sync the proxy is not healthy, unlike kube-proxy", () => {
  const verdict = judge(startingHealth(["IPv4"]), 10 * TIMEOUT_MS);
  assert.deepEqual([verdict.healthy, verdict.alive], [false, true]);
  assert.equal(verdict.lastUpdatedMs, undefined);
});

test("a proxy of no family is not healthy", () => {
  assert.equal(judge(startingHealth([]), 1).healthy, false);
});

test("once synced it stays healthy for as long as nothing waits", () => {
  assert.equal(judge(synced, 10 * TIMEOUT_MS).healthy, true);
});

test("a change may wait up to the timeout, counted from the oldest", () => {
  const queued = noteQueued(noteQueued(synced, "IPv4", at(100)), "IPv4", at(50_000));
  assert.equal(judge(queued, 100 + TIMEOUT_MS - 1).healthy, true);
  assert.equal(judge(queued, 100 + TIMEOUT_MS).healthy, false);
});

test("a sync clears what waited, but not what came while it ran", () => {
  const queued = noteQueued(synced, "IPv4", at(100));
  const cleared = noteSynced(queued, "IPv4", { now: at(200) });
  assert.equal(judge(cleared, 10 * TIMEOUT_MS).healthy, true);
  const busy = noteSynced(queued, "IPv4", { now: at(200), queuedAt: at(150) });
  assert.equal(judge(busy, 150 + TIMEOUT_MS).healthy, false);
});

test("one late family makes the whole unhealthy, and the verdict says which", () => {
  let health = startingHealth(["IPv4", "IPv6"]);
  health = noteSynced(health, "IPv4", { now: at(10) });
  assert.equal(judge(health, 20).healthy, false);
  health = noteSynced(health, "IPv6", { now: at(30) });
  health = noteQueued(health, "IPv6", at(40));
  const verdict = judge(health, 40 + TIMEOUT_MS);
  assert.equal(verdict.healthy, false);
  assert.deepEqual(
    [...verdict.families],
    [
      ["IPv4", { healthy: true, alive: true, lastUpdatedMs: 1_000_010 }],
      ["IPv6", { healthy: false, alive: false, lastUpdatedMs: 1_000_030 }],
    ],
  );
  assert.equal(verdict.lastUpdatedMs, 1_000_030);
});

test("a family that the node does not program changes nothing", () => {
  assert.equal(noteQueued(synced, "IPv6", at(1)), synced);
  assert.equal(noteSynced(synced, "IPv6", { now: at(1) }), synced);
});

test("ages do not follow the wall clock when it jumps", () => {
  const queued = noteQueued(synced, "IPv4", { monotonicMs: 100, wallMs: 0 });
  const now = { monotonicMs: 200, wallMs: 86_400_000 };
  assert.equal(judgeHealth(queued, { now, timeoutMs: TIMEOUT_MS }).healthy, true);
});

test("balancers may use a node that is known, stays and is not about to be removed", () => {
  const node = { taintKeys: [], deleting: false };
  assert.equal(isNodeEligible(node), true);
  assert.equal(isNodeEligible(undefined), false);
  assert.equal(isNodeEligible({ ...node, deleting: true }), false);
  const leaving = { ...node, taintKeys: ["ToBeDeletedByClusterAutoscaler"] };
  assert.equal(isNodeEligible(leaving), false);
});

test("a cordoned node is still eligible", () => {
  const cordoned = { taintKeys: ["node.kubernetes.io/unschedulable"], deleting: false };
  assert.equal(isNodeEligible(cordoned), true);
});
