// The tour's second part: a Service that moves into the L4 proxy, and what a proxy's death costs.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WEB, WEB_VIP } from "./demo-kernel.ts";
import { podObjects } from "./demo-manifests.ts";
import {
  http,
  innermesh,
  podsOf,
  type Stage,
  type Step,
  writeObjects,
  writeServices,
} from "./demo-stage.ts";

export const PROXY_STEPS: readonly Step[] = [moveLane, killWorker];

/** An answer that comes late on a busy machine was not lost. */
const ANSWER_WITHIN_MS = 3_000;
const LOAD = { ratePerSecond: 200, durationMs: 3_000, timeoutMs: ANSWER_WITHIN_MS };
/** Workers tell every second what they counted. */
const TOLD_WITHIN_MS = 1_200;
/** How far apart this process and the one that makes the load may see the same moment. */
const MOMENT_MS = 150;

async function moveLane(stage: Stage): Promise<void> {
  const { tour, playground, nodes, pod } = stage;
  const [node = assert.fail("no agent")] = nodes;
  const title = "the label innermesh.io/lane=l4 moves Service web into a proxy under load";
  await tour.step(title, async () => {
    await writeObjects(stage, "pods", podObjects(podsOf(playground)));
    const open = await pod.open(WEB_VIP, 9090);
    assert(open.kind === "open");
    const load = pod.startLoad(http(WEB_VIP), { ...LOAD, durationMs: 60_000 });
    await sleep(500);
    const [web = assert.fail("no Service web"), ...others] = WEB;
    await writeServices(stage, [{ ...web, lane: "l4" }, ...others]);
    await node.proxying();
    await sleep(1_000);
    const report = await load.stop();
    assert.equal(report.failed, 0);
    await sleep(TOLD_WITHIN_MS);
    const proxied = await node.proxiedConnections("default/web");
    assert(proxied > 0 && proxied <= report.started, `${proxied} went through the proxy`);
    assert.equal((await open.say("still there?")).kind, "reply");
    await open.close();
    const { stdout } = await innermesh(stage, "explain", "service", "default/web");
    assert.match(stdout, /lane +l4/);
    const all = `${report.started} connections, 0 failed, the last ${proxied} through the proxy`;
    return `${all}; one from before still answers`;
  });
}

async function killWorker({ tour, nodes, pod }: Stage): Promise<void> {
  const [node = assert.fail("no agent")] = nodes;
  await tour.step("SIGKILL the proxy worker of node-1 under load", async () => {
    await node.proxying();
    const [victim = assert.fail("no worker")] = node.workers();
    const startMs = performance.now();
    const load = pod.startLoad(http(WEB_VIP), LOAD);
    await sleep(1_000);
    process.kill(victim, "SIGKILL");
    const killedMs = performance.now() - startMs;
    const report = await load.done;
    const lost = report.failures.filter((one) => Math.abs(one.startMs - killedMs) < MOMENT_MS);
    assert.equal(report.failed - lost.length, 0);
    assert(lost.length <= 5, `${lost.length} connections were lost`);
    await node.proxying();
    const [successor = assert.fail("no successor")] = node.workers();
    assert.notEqual(successor, victim);
    const held = `${lost.length} lost that it held, no other failed`;
    return `${report.started} connections: ${held}; pid ${successor} took over from ${victim}`;
  });
}
