// The agent of a node with proxy workers ends, freezes, dies and is replaced, and its Services
// change, while connections come and last: none is lost (faults F20, F22, F23, F26).

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { LoadReport } from "../../playground/probe-protocol.ts";
import { allLive, close, LaneLife, lostNothing, PLAIN, PROXIED, WEB } from "./lane-life.ts";
import { until } from "./served-node.ts";

const SOAK = process.env["INNERMESH_SOAK"] === "1";
const FREEZE_MS = SOAK ? 300_000 : 5_000;
const UPGRADES = SOAK ? 20 : 3;

describe("an agent with proxy workers", () => {
  let life: LaneLife;
  before(async () => {
    life = await LaneLife.build(2);
  });
  afterEach(() => life.quiet());
  after(() => life[Symbol.asyncDispose]());

  test("F22: upgrades lose none of 1,000 new connections a second, nor any old one", async (t) => {
    const connections = await life.connect();
    const loads = [
      life.load("client", PROXIED, 600),
      life.load("client", WEB, 250),
      life.load("pod-1-1", PROXIED, 75),
      life.load("node-1", PROXIED, 75),
    ];
    await delay(500);
    const before = await life.served();
    assert(before > 300, `${before} connections went through workers`);
    for (let n = 0; n < UPGRADES; n++) {
      const startMs = performance.now();
      await life.upgrade();
      t.diagnostic(`upgrade ${n + 1} took ${(performance.now() - startMs).toFixed(0)} ms`);
      await allLive(connections);
    }
    for (const load of loads) {
      const { started, rttUs } = await lostNothing(load);
      t.diagnostic(`${started} connections, p99 ${rttUs.p99} µs`);
    }
    await allLive(connections);
    await close(connections);
  });

  test("F23: newcomers that die early change nothing, whenever they die", async (t) => {
    const connections = await life.connect();
    const loads = ["client", "pod-1-1"].map((sender) => life.load(sender, PROXIED, 100));
    const old = life.rig.agent;
    for (let aliveMs = 200; old.log.every((line) => !line.includes("takes this node over")); ) {
      const newcomer = life.startBriefly();
      await delay(aliveMs);
      await newcomer.kill();
      t.diagnostic(`one that lived for ${aliveMs} ms`);
      aliveMs = Math.round(1.3 * aliveMs);
    }
    await delay(1_000);
    await life.start();
    await allLive(connections);
    for (const load of loads) await lostNothing(load);
    life.endLater(old);
    await close(connections);
  });

  test("SIGTERM and a restart lose nothing", async () => {
    const connections = await life.connect();
    const loads = ["client", "pod-1-1"].map((sender) => life.load(sender, PROXIED, 100));
    loads.push(life.load("client", WEB, 100));
    for (let n = 0; n < 2; n++) {
      await delay(300);
      const old = life.rig.agent;
      life.endLater(old);
      await until("its workers' doors to close", async () => {
        const { body } = await old.get(10249, "/metrics");
        return !/^innermesh_proxy_workers [1-9]/m.test(body);
      });
      await delay(300);
      await life.start();
    }
    for (const load of loads) await lostNothing(load);
    await allLive(connections);
    await close(connections);
  });

  test("SIGKILL and a restart lose nothing: workers go on until new ones are there", async () => {
    const connections = await life.connect();
    const orphans = life.workers();
    const senders = ["client", "pod-1-1", "node-1"];
    const loads = senders.map((sender) => life.load(sender, PROXIED, 100));
    for (const pauseMs of [0, 4_500]) {
      await delay(300);
      await life.rig.agent.kill();
      await delay(pauseMs);
      await life.start();
    }
    for (const load of loads) await lostNothing(load);
    await allLive(connections);
    await close(connections);
    await until("the end of those workers", () =>
      orphans.every((pid) => !existsSync(`/proc/${pid}`)),
    );
  });

  test("F20: a frozen agent loses nothing, and its workers are not ended for it", async () => {
    const connections = await life.connect();
    const senders = ["client", "pod-1-1", "node-1"];
    const loads = senders.map((sender) => life.load(sender, PROXIED, 50));
    const workers = life.workers();
    const { pid } = life.rig.agent;
    process.kill(pid, "SIGSTOP");
    await delay(FREEZE_MS);
    process.kill(pid, "SIGCONT");
    await delay(1_500);
    assert.deepEqual(life.workers(), workers);
    assert.equal((await life.rig.agent.get(10256, "/healthz")).status, 200);
    for (const load of loads) await lostNothing(load);
    await allLive(connections);
    await close(connections);
  });

  test("F26: workers do not feel it when the agent is held up", async (t) => {
    const times = async (disturb: () => Promise<void>): Promise<LoadReport["rttUs"]> => {
      const load = life.load("pod-1-1", PROXIED, 100);
      for (let n = 0; n < 8; n++) await disturb();
      return (await lostNothing(load)).rttUs;
    };
    const quiet = await times(() => delay(400));
    const disturbed = await times(async () => {
      process.kill(life.rig.agent.pid, "SIGSTOP");
      await delay(300);
      process.kill(life.rig.agent.pid, "SIGCONT");
      await delay(100);
    });
    t.diagnostic(
      `${JSON.stringify(quiet)}, held up for 300 ms at a time ${JSON.stringify(disturbed)}`,
    );
    // Did they feel it, half of all connections would wait for 100 ms and more.
    assert(disturbed.p50 < Math.max(40_000, 2 * quiet.p50), `${disturbed.p50} µs`);
  });

  test("endpoints and lanes change, and nobody is lost", async (t) => {
    const connections = await life.connect();
    const senders = ["client", "pod-1-1", "node-1"];
    const loads = senders.map((sender) => life.load(sender, PROXIED, 100));
    const plain = life.load("client", PLAIN, 50);
    for (let n = 0; n < 12; n++) {
      const pods = n % 2 === 0 ? ["pod-1-2", "pod-2-1"] : ["pod-1-2", "pod-2-1", "pod-2-2"];
      await life.proxy(n % 4 < 2 ? "kernel" : "l4", pods);
      await delay(250);
    }
    await allLive(connections);
    for (const load of [...loads, plain])
      t.diagnostic(`${(await lostNothing(load)).started} lost none`);
    await close(connections);
  });
});
