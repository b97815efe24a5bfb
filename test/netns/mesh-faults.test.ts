// Processes of strict nodes die, and the authority with them: nothing is let through for it, nothing
// goes in plaintext, and what can go on goes on.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rename } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Mesh } from "./mesh-rig.ts";
import { FAMILIES } from "./served-node.ts";

const FAR = 1;
const NEAR = 2;
/** Nobody answers strangers: their load would last as long as they wait. */
const PATIENCE = { ratePerSecond: 20, timeoutMs: 1_000 };
/** Of an agent that is dead: workers do without it for three seconds. */
const DOWN_MS = 5_000;

describe("strict nodes whose processes die", () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.build({ mode: "strict", podsPerNode: 3, exempt: ["pod-1-3", "pod-2-3"] });
    await mesh.served.serve({ number: FAR, pods: ["pod-2-1"] });
    await mesh.served.serve({ number: NEAR, pods: ["pod-1-1"] });
    await mesh.ready();
  });
  after(() => mesh?.[Symbol.asyncDispose]());

  /** Calls of pods with identities go on all the time; those of others are refused all the time. */
  async function under(fault: () => Promise<void>): Promise<void> {
    const word = randomBytes(12).toString("hex");
    const strangers = [
      mesh.load("pod-1-3", mesh.at("pod-1-1", "ip"), PATIENCE),
      mesh.load("pod-1-3", mesh.served.address("cluster", NEAR, "ip6"), PATIENCE),
      mesh.load("pod-2-3", mesh.at("pod-1-1", "ip6"), PATIENCE),
      mesh.load("client", mesh.nodePort(1, NEAR, "ip"), PATIENCE),
    ];
    const done = new AbortController();
    const wire = await mesh.captured(async () => {
      const talking = [
        { from: "pod-1-1", to: mesh.served.address("cluster", FAR, "ip") },
        { from: "pod-1-1", to: mesh.at("pod-2-1", "ip6") },
        { from: "pod-2-1", to: mesh.at("pod-1-1", "ip") },
      ].map(async ({ from, to }) => {
        while (!done.signal.aborted) await mesh.talk(from, to, { word, timeoutMs: 1_000 });
      });
      try {
        await fault();
      } finally {
        done.abort();
        await Promise.all(talking);
      }
    });
    assert(!wire.includes(word), "what pods with identities say was readable");
    const reports = await Promise.all(strangers.map((load) => load.stop()));
    assert.deepEqual(
      reports.map(({ answered }) => answered),
      [0, 0, 0, 0],
    );
  }

  for (const node of [1, 2]) {
    test(`SIGKILL of the worker of node-${node}: another serves soon`, async (t) => {
      await under(async () => {
        const workers = mesh.agent(node).workers();
        assert.equal(workers.length, 1);
        for (const pid of workers) process.kill(pid, "SIGKILL");
        const startMs = performance.now();
        await mesh.ready();
        t.diagnostic(`served again after ${(performance.now() - startMs).toFixed(0)} ms`);
      });
    });
  }

  test("SIGKILL of an agent, for longer than its workers do without it, and a restart", async () => {
    await under(async () => {
      await mesh.agent(1).kill();
      await delay(DOWN_MS);
      await mesh.startAgent(mesh.served.playground.node(1));
      await mesh.ready();
    });
  });

  test("an authority that is gone: certificates that there are stay in use", async () => {
    await rename(mesh.authority, `${mesh.authority}-gone`);
    await mesh.agent(1).logged("cannot read the authority");
    for (const family of FAMILIES) {
      for (const target of [
        mesh.at("pod-2-1", family),
        mesh.served.address("cluster", FAR, family),
      ]) {
        assert.equal(await mesh.talk("pod-1-2", target), "pod-2-1 sees pod-1-2");
      }
    }
    await rename(`${mesh.authority}-gone`, mesh.authority);
  });
});
