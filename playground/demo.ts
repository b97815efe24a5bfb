// The guided tour of `make demo`: two small nodes in network namespaces, real servers, one
// `innermesh node` each. Every line it prints is an observation that it made and checked.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createPlayground, type Playground, sweepPlaygrounds } from "./cluster.ts";
import { type DemoService, demoManifests } from "./demo-manifests.ts";
import { DemoTour, type TourOutput } from "./demo-tour.ts";
import { startEchoServers } from "./echo.ts";
import { type NodeProcess, startNode } from "./node-process.ts";
import { countAnswers, openProbe, type Probe } from "./probe.ts";
import { clusterCidrs, type PlaygroundNode } from "./topology.ts";

const WEB_VIP = "10.96.0.10";
const WEB_VIP6 = "fd96::10";
const STICKY_VIP = "10.96.0.20";
const EMPTY_VIP = "10.96.0.30";
const NODE_PORT = 30080;

/** What the steps share. */
interface Stage {
  readonly playground: Playground;
  readonly tour: DemoTour;
  readonly directory: string;
  readonly nodes: NodeProcess[];
  readonly pod: Probe;
  readonly client: Probe;
}

/**
 * Runs the tour and takes everything down again, also after Ctrl-C.
 * @returns how many steps did not see what they should
 */
export async function runDemo(output: TourOutput, signal: AbortSignal): Promise<number> {
  await sweepPlaygrounds();
  const directory = await mkdtemp(join(tmpdir(), "innermesh-demo-"));
  const tour = new DemoTour(output);
  tour.title("Two nodes, four pods, one outside client: network namespaces on this machine");
  try {
    await using playground = await createPlayground({ nodes: 2, podsPerNode: 2, cni: "routed" });
    const pods = playground.nodes.flatMap((node) => node.pods);
    await using _echo = await startEchoServers(playground, pods);
    await writeServices(directory, playground, WEB);
    await using pod = openProbe(playground, playground.pod(1, 1).netns);
    await using client = openProbe(playground, playground.client.netns);
    const nodes = playground.nodes.map((node) => launch(playground, node, directory));
    const stage: Stage = { playground, tour, directory, nodes, pod, client };
    try {
      for (const step of STEPS) {
        if (signal.aborted) break;
        await step(stage);
      }
    } finally {
      await Promise.all(nodes.map((node) => node.stop()));
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return tour.end();
}

const WEB: readonly DemoService[] = [
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

const STEPS: readonly ((stage: Stage) => Promise<void>)[] = [
  start,
  balance,
  stick,
  nodePort,
  refuse,
  drain,
  crash,
  look,
  leave,
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

async function drain({ tour, playground, directory, pod }: Stage): Promise<void> {
  await tour.step("pod-2-2 leaves the Service under 200 new connections a second", async () => {
    const startMs = performance.now();
    const load = pod.startLoad(http(WEB_VIP), { ratePerSecond: 200, durationMs: 3_000 });
    await sleep(1_000);
    const leavesMs = performance.now() - startMs;
    const without = playground.nodes.flatMap((n) => n.pods).filter((p) => p.name !== "pod-2-2");
    const [web = assert.fail("no Service web"), ...others] = WEB;
    const changed = { ...web, pods: without.map(({ name }) => name) };
    await writeServices(directory, playground, [changed, ...others]);
    const report = await load.done;
    assert.equal(report.failed, 0);
    const last = report.pods["pod-2-2"]?.lastMs ?? assert.fail("pod-2-2 never answered");
    const afterMs = Math.max(0, last - leavesMs);
    assert.ok(afterMs < 1_000, `pod-2-2 still got connections ${afterMs} ms after it left`);
    const late = `pod-2-2 got its last one within ${Math.ceil(afterMs)} ms of leaving`;
    return `${report.started} connections, 0 failed; ${late}`;
  });
}

async function crash({ tour, playground, nodes, directory, pod }: Stage): Promise<void> {
  await tour.step("SIGKILL the agent of node-1 under load, then start it again", async () => {
    const load = pod.startLoad(http(WEB_VIP), { ratePerSecond: 200, durationMs: 3_000 });
    const open = await pod.open(WEB_VIP, 9090);
    assert.equal(open.kind, "open");
    await sleep(500);
    await nodes[0]?.kill();
    await sleep(500);
    const again = launch(playground, playground.node(1), directory);
    nodes[0] = again;
    await again.healthy();
    const report = await load.done;
    assert.equal(report.failed, 0);
    if (open.kind === "open") {
      assert.equal((await open.say("still there?")).kind, "reply");
      await open.close();
    }
    return `${report.started} connections, 0 failed; a connection from before still answers`;
  });
}

async function look({ tour, playground, directory }: Stage): Promise<void> {
  const source = [`--source=dir:${directory}`, "--node=node-1", `--cluster-cidr=${CIDRS}`];
  const { netns } = playground.node(1);
  const show = async (title: string, argv: readonly string[], has: RegExp): Promise<void> => {
    await tour.step(title, async () => {
      const result = await playground.exec(netns, argv);
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stdout, has);
      tour.show(result.stdout);
      return "as shown";
    });
  };
  const explain = [LAUNCHER, "explain", "service", "default/front", ...source];
  await show("innermesh explain service default/front", explain, /kernel/);
  const trace = [LAUNCHER, "trace", ...source, "--from=10.71.1.2", "--to=default/web:80"];
  await show(
    "innermesh trace --from 10.71.1.2 --to default/web:80",
    trace,
    /verdict {2}translated/,
  );
  const list = ["nft", "list", "map", "ip", "innermesh", "vips"];
  await show("nft list map ip innermesh vips: the kernel's own view", list, /10\.96\.0\.10/);
}

async function leave({ tour, playground, nodes }: Stage): Promise<void> {
  await tour.step("innermesh cleanup takes everything away again", async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    for (const { netns } of playground.nodes) {
      const removed = await playground.exec(netns, [LAUNCHER, "cleanup"]);
      assert.equal(removed.code, 0, removed.stderr);
      const { stdout } = await playground.exec(netns, ["nft", "list", "tables"]);
      assert.equal(stdout, "");
    }
    return "no table is left on either node";
  });
}

const CIDRS = `${clusterCidrs.ip},${clusterCidrs.ip6}`;
const LAUNCHER = new URL("../bin/innermesh", import.meta.url).pathname;

function launch(playground: Playground, node: PlaygroundNode, directory: string): NodeProcess {
  const flags = [`--source=dir:${directory}`, `--cluster-cidr=${CIDRS}`];
  return startNode(playground, node, flags);
}

async function writeServices(
  directory: string,
  playground: Playground,
  services: readonly DemoService[],
): Promise<void> {
  const text = demoManifests(playground, services);
  await writeFile(join(directory, "services.json"), text);
}

function http(address: string, port = 80): { protocol: "http"; address: string; port: number } {
  return { protocol: "http", address, port };
}

function list(answers: Readonly<Record<string, number>>): string {
  return Object.entries(answers)
    .map(([pod, count]) => `${pod} ×${count}`)
    .join(", ");
}
