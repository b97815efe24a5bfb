// The root of all certificates is replaced while connections are made, and a node is banned: who is
// trusted loses nothing, who is not any more is refused.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { makeLeaf } from "./mesh-leaf.ts";
import { Mesh, newRoot, TRUST_DOMAIN } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const FAR = 1;
const CALLER = `spiffe://${TRUST_DOMAIN}/ns/default/sa/pod-1-1`;
/** "Old root refused ≤ 60 s after removal". */
const REFUSED_WITHIN_MS = 60_000;

describe("trust", () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.build();
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.ready();
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  async function isTaken(leaf: ReturnType<typeof makeLeaf>): Promise<boolean> {
    const { status } = await mesh.stranger("pod-1-1", "pod-2-1", "ip", leaf);
    return status === 200;
  }

  /** Certificates that agents got so far, renewed ones among them. */
  async function renewals(): Promise<number> {
    const labels = { result: "renewed" };
    const [one, two] = await Promise.all([
      mesh.metric(1, "innermesh_certificate_requests_total", labels),
      mesh.metric(2, "innermesh_certificate_requests_total", labels),
    ]);
    return one + two;
  }

  test("F41: a root is added, signs, and the old one is removed: no connection is lost", async (t) => {
    const [old, next] = [mesh.material, newRoot()];
    const former = makeLeaf(old, CALLER);
    const loads = FAMILIES.flatMap((family) => [
      mesh.load("pod-1-1", mesh.served.address("cluster", FAR, family)),
      mesh.load("pod-1-1", mesh.at("pod-2-1", family)),
    ]);
    const roots = [...old.roots, ...next.roots];
    const pods = mesh.served.pods.length;
    const before = await renewals();
    await mesh.putAuthority({ ...old, roots });
    await until("trust in the next root", () => isTaken(makeLeaf(next, CALLER)));
    assert(await isTaken(former));
    await mesh.putAuthority({ ...next, roots });
    await until("certificates of the next root", async () => (await renewals()) >= before + pods);
    assert(await isTaken(former));
    await delay(500);
    await mesh.putAuthority(next);
    const refusedMs = await until(
      "the end of the old root",
      async () => !(await isTaken(former)),
      REFUSED_WITHIN_MS,
    );
    t.diagnostic(`the old root was refused after ${refusedMs.toFixed(0)} ms`);
    assert(await isTaken(makeLeaf(next, CALLER)));
    const lost = await mesh.lost(loads);
    t.diagnostic(`${lost.failures.length} of ${lost.started} lost`);
    assert.deepEqual(lost.failures, []);
  });

  test("a banned node's certificates count no more, and those it gets later do", async () => {
    const held = await mesh.open("pod-1-1", mesh.at("pod-2-1", "ip"));
    const leaf = makeLeaf(mesh.material, CALLER);
    assert(await isTaken(leaf));
    // Certificates name their time in seconds.
    const ban = { node: "node-1", untilMs: Date.now() + 2_000 };
    await mesh.putTrust({ "bans.json": JSON.stringify([ban]) });
    await until("the end of its sessions", async () => {
      const answer = await held.say("still there?", 2_000);
      return answer.kind !== "reply" && answer.kind !== "timeout";
    });
    // Nodes learn of it one by one.
    await until("the ban on node-2", async () => !(await isTaken(leaf)));
    const answer = await mesh.talk("pod-1-1", mesh.at("pod-2-1", "ip"), { timeoutMs: 1_000 });
    assert(!answer.includes("sees"), answer);
    await until("the end of the ban", () => Date.now() > ban.untilMs + 1_000);
    assert(!(await isTaken(leaf)));
    assert(await isTaken(makeLeaf(mesh.material, CALLER)));
  });
});
