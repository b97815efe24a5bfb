// The tour's first part: what `innermesh node` does in kube-proxy's place, in the kernel alone.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandResult } from "./command.ts";
import type { DemoService } from "./demo-manifests.ts";
import {
  ANSWER_WITHIN_MS,
  http,
  innermesh,
  launch,
  list,
  onNode,
  podsOf,
  type Stage,
  type Step,
  writeServices,
} from "./demo-stage.ts";
import { countAnswers } from "./probe.ts";

export const WEB_VIP = "10.96.0.10";
const WEB_VIP6 = "fd96::10";
const STICKY_VIP = "10.96.0.20";
const EMPTY_VIP = "10.96.0.30";
const NODE_PORT = 30080;

/** The Services of this part. */
export const WEB: readonly DemoService[] = [
  { name: "web", clusterIp: WEB_VIP, clusterIp6: WEB_VIP6, pods: "all" },
  { name: "sticky", clusterIp: STICKY_VIP, pods: "all", affinitySeconds: 600 },
  { name: "empty", clusterIp: EMPTY_VIP, pods: [] },
  {
    name: "front",
    clusterIp: "10.96.0.40",
    pods: "all",
    nodePort: NODE_PORT,
    externalTrafficPolicy: "Local",
  },
];

export const KERNEL_STEPS: readonly Step[] = [
  start,
  balance,
  stick,
  nodePort,
  refuse,
  drain,
  crash,
  look,
];

async function start({ tour, nodes }: Stage): Promise<void> {
  await tour.step("innermesh node takes kube-proxy's place on both nodes", async () => {
    const waits = await Promise.all(nodes.map((node) => node.healthy()));
    return `healthy after ${waits.map((ms) => `${ms.toFixed(0)} ms`).join(" and ")}`;
  });
}

async function balance({ tour, pod }: Stage): Promise<void> {
  for (const [family, address] of [
    ["IPv4", WEB_VIP],
    ["IPv6", WEB_VIP6],
  ] as const) {
    await tour.step(`pod-1-1 calls the ClusterIP ${address} (${family}) 60 times`, async () => {
      const answers = countAnswers(await pod.tryMany(http(address), 60, 6));
      const expected = ["pod-1-1", "pod-1-2", "pod-2-1", "pod-2-2"];
      assert.deepEqual(Object.keys(answers), expected);
      return `answered by ${list(answers)}`;
    });
  }
}

async function stick({ tour, pod }: Stage): Promise<void> {
  await tour.step("sessionAffinity ClientIP: the same 20 calls to one Service", async () => {
    const answers = countAnswers(await pod.tryMany(http(STICKY_VIP), 20, 4));
    assert.equal(Object.keys(answers).length, 1);
    assert.match(Object.keys(answers)[0] ?? "", /^pod-/);
    return `answered by ${list(answers)}`;
  });
}

async function nodePort({ tour, playground, client }: Stage): Promise<void> {
  const address = playground.node(1).addresses.ip;
  const title = `the outside client calls NodePort ${address}:${NODE_PORT}, policy Local`;
  await tour.step(title, async () => {
    const results = await client.tryMany(http(address, NODE_PORT), 20, 4);
    const own = playground.client.addresses.ip;
    for (const result of results) {
      assert.equal(result.kind, "reply");
      if (result.kind === "reply") assert.equal(result.echo?.client, own);
    }
    const answers = countAnswers(results);
    assert.deepEqual(Object.keys(answers), ["pod-1-1", "pod-1-2"]);
    return `only node-1's pods answered (${list(answers)}); all saw the client as ${own}`;
  });
}

async function refuse({ tour, pod }: Stage): Promise<void> {
  await tour.step("a Service without endpoints refuses at once instead of hanging", async () => {
    const result = await pod.try(http(EMPTY_VIP));
    assert.equal(result.kind, "refused");
    return "connection refused";
  });
}

async function drain(stage: Stage): Promise<void> {
  const { tour, playground, pod } = stage;
  await tour.step("pod-2-2 leaves the Service under 200 new connections a second", async () => {
    const startMs = performance.now();
    const load = pod.startLoad(http(WEB_VIP), { ratePerSecond: 200, durationMs: 3_000 });
    await sleep(1_000);
    const leavesMs = performance.now() - startMs;
    const stay = podsOf(playground).filter(({ name }) => name !== "pod-2-2");
    const [web = assert.fail("no Service web"), ...others] = WEB;
    await writeServices(stage, [{ ...web, pods: stay.map(({ name }) => name) }, ...others]);
    const report = await load.done;
    assert.equal(report.failed, 0);
    const last = report.pods["pod-2-2"]?.lastMs ?? assert.fail("pod-2-2 never answered");
    const afterMs = Math.max(0, last - leavesMs);
    assert.ok(afterMs < 1_000, `pod-2-2 still got connections ${afterMs} ms after it left`);
    const late = `pod-2-2 got its last one within ${Math.ceil(afterMs)} ms of leaving`;
    return `${report.started} connections, 0 failed; ${late}`;
  });
}

async function crash(stage: Stage): Promise<void> {
  const { tour, playground, nodes, pod } = stage;
  await tour.step("SIGKILL the agent of node-1 under load, then start it again", async () => {
    const load = pod.startLoad(http(WEB_VIP), { ratePerSecond: 200, durationMs: 3_000 });
    const open = await pod.open(WEB_VIP, 9090);
    assert.equal(open.kind, "open");
    await sleep(500);
    await nodes[0]?.kill();
    await sleep(500);
    const again = launch(stage, playground.node(1));
    nodes[0] = again;
    await again.healthy();
    const report = await load.done;
    assert.equal(report.failed, 0);
    if (open.kind === "open") {
      assert.equal((await open.say("still there?", ANSWER_WITHIN_MS)).kind, "reply");
      await open.close();
    }
    return `${report.started} connections, 0 failed; a connection from before still answers`;
  });
}

async function look(stage: Stage): Promise<void> {
  const { tour, playground } = stage;
  const show = (title: string, look: () => Promise<CommandResult>, has: RegExp): Promise<void> =>
    tour.step(title, async () => {
      const { code, stdout, stderr } = await look();
      assert.equal(code, 0, stderr);
      assert.match(stdout, has);
      tour.show(stdout);
      return "as shown";
    });
  await show(
    "innermesh explain service default/front",
    () => innermesh(stage, "explain", "service", "default/front"),
    /kernel/,
  );
  await show(
    "innermesh trace --from 10.71.1.2 --to default/web:80",
    () => innermesh(stage, "trace", "--from=10.71.1.2", "--to=default/web:80"),
    /verdict {2}translated/,
  );
  await show(
    "nft list map ip innermesh vips: the kernel's own view",
    () => onNode(playground, ["nft", "list", "map", "ip", "innermesh", "vips"]),
    /10\.96\.0\.10/,
  );
}
