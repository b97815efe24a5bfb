// F10: the node's clock jumps by a day and back while its agent runs. libfaketime lies to the
// agent about the time of day; elapsed time goes on as it does, as when someone sets a clock.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { NodeProcess } from "../../playground/node-process.ts";
import { openProbe } from "../../playground/probe.ts";
import type { PlaygroundNode } from "../../playground/topology.ts";
import { MovingClock } from "../netns/moving-clock.ts";
import { eventually } from "./answers.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { type FaultRig, startFaultRig } from "./fault-rig.ts";

const LAUNCHER = join(import.meta.dirname, "../../bin/innermesh");
const DAY_MS = 86_400_000;
const TOLERANCE_MS = 60_000;

suite("a clock that jumps", () => {
  let cluster: Cluster;
  let rig: FaultRig;
  let clock: MovingClock;

  before(async () => {
    cluster = await startCluster({ nodes: 1, podsPerNode: 4, controllers: [] });
    const { playground } = cluster;
    clock = await MovingClock.make(cluster.file("clock"), "+0");
    const [from, first, second, third] = playground.node(1).pods;
    assert(from && first && second && third);
    rig = await startFaultRig(cluster, {
      node: playground.node(1),
      from,
      steady: [first],
      turns: [second, third],
      start: (apiServer) => startAgent(playground.node(1), apiServer),
    });
  });
  after(async () => cluster[Symbol.asyncDispose]());

  async function startAgent(node: PlaygroundNode, apiServer: string): Promise<NodeProcess> {
    const config = await cluster.writeConfiguration({ apiServer });
    const words = ["node", `--hostname-override=${node.name}`, `--config=${config}`];
    const { playground } = cluster;
    const child = playground.spawn(node.netns, [...clock.prefix, LAUNCHER, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const agent = new NodeProcess(child, openProbe(playground, node.netns));
    cluster.defer(async () => {
      await agent.kill();
      await MovingClock.clean(agent.pid);
    });
    await agent.healthy();
    return agent;
  }

  /** How far the agent's clock is ahead. */
  async function aheadMs(): Promise<number> {
    const { status, body } = await rig.agent.get(10_256, "/healthz");
    assert.equal(status, 200);
    const { currentTime } = JSON.parse(body) as { readonly currentTime: string };
    return Date.parse(currentTime) - Date.now();
  }

  test("F10: no watch breaks, nothing is asked anew, and changes are served as ever", async () => {
    await rig.suffer(async () => {
      const fromMs = rig.proxy.nowMs;
      for (const [jump, jumpMs] of [
        ["+1d", DAY_MS],
        ["-1d", -DAY_MS],
        ["+0", 0],
      ] as const) {
        await clock.set(jump);
        await eventually(async () => {
          const offMs = (await aheadMs()) - jumpMs;
          assert.ok(Math.abs(offMs) < TOLERANCE_MS, `off by ${offMs} ms: is faketime installed?`);
        });
        for (let moves = 0; moves < 3; moves += 1) await rig.follows();
        assert.equal((await rig.agent.get(10_256, "/livez")).status, 200);
      }
      const asked = rig.proxy.since(fromMs).map(({ path }) => path);
      assert.deepEqual(asked, []);
    });
  });
});
