// The tour's second part: a Service that moves into the L4 proxy, and what a proxy's death costs.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { WEB, WEB_VIP } from "./demo-kernel.ts";
import { podObjects } from "./demo-manifests.ts";
import {
  ANSWER_WITHIN_MS,
  http,
  innermesh,
  launch,
  podsOf,
  type Stage,
  type Step,
  writeObjects,
  writeServices,
} from "./demo-stage.ts";

export const PROXY_STEPS: readonly Step[] = [moveLane, killWorker, upgrade];

const LOAD = { ratePerSecond: 200, durationMs: 3_000 };
/** Workers tell every second what they counted. */
const TOLD_WITHIN_MS = 1_200;

async function moveLane(stage: Stage): Promise<void> {
  const { tour, playground, nodes, pod } = stage;
  const [node = assert.fail("no agent")] = nodes;
  const title = "the label innermesh.io/lane=l4 moves Service web into a proxy under load";
  await tour.step(title, async () => {
    await writeObjects(stage, "pods", podObjects(podsOf(playground), {}));
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
    assert.equal((await open.say("still there?", ANSWER_WITHIN_MS)).kind, "reply");
    await open.close();
    const { stdout } = await innermesh(stage, "explain", "service", "default/web");
    assert.match(stdout, /lane +l4/);
    const all = `${report.started} connections, 0 failed, ${proxied} of them through the proxy`;
    return `${all}; one from before still answers`;
  });
}

async function killWorker({ tour, nodes, pod }: Stage): Promise<void> {
  const [node = assert.fail("no agent")] = nodes;
  await tour.step("SIGKILL the proxy worker of node-1 under load", async () => {
    const [victim = assert.fail("no worker")] = node.workers();
    const startMs = performance.now();
    const load = pod.startLoad(http(WEB_VIP), LOAD);
    await sleep(1_000);
    process.kill(victim, "SIGKILL");
    while (existsSync(`/proc/${victim}`)) await sleep(1);
    const goneMs = performance.now() - startMs;
    const report = await load.done;
    const later = report.failures.filter((one) => one.startMs > goneMs);
    assert.equal(later.length, 0, JSON.stringify(later[0]));
    await node.proxying();
    const [successor = assert.fail("no successor")] = node.workers();
    assert.notEqual(successor, victim);
    const { started, failed } = report;
    return `${started} connections, ${failed} lost with it, 0 failed after it; a new one serves`;
  });
}

async function upgrade(stage: Stage): Promise<void> {
  const { tour, playground, nodes, pod } = stage;
  const [old = assert.fail("no agent")] = nodes;
  await tour.step("upgrade: a second agent starts beside the first, which then ends", async () => {
    const open = await pod.open(WEB_VIP, 9090);
    assert(open.kind === "open");
    const load = pod.startLoad(http(WEB_VIP), { ...LOAD, durationMs: 60_000 });
    const successor = launch(stage, playground.node(1));
    nodes[0] = successor;
    await old.logged("a newer agent takes this node over");
    const ended = old.stop();
    await successor.proxying();
    await sleep(1_000);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures[0]));
    assert.equal((await open.say("still there?", ANSWER_WITHIN_MS)).kind, "reply");
    await open.close();
    await ended;
    return `${report.started} connections, 0 failed; one through the old proxy still answered`;
  });
}
