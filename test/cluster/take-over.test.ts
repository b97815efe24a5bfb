// From the real kube-proxy to Innermesh and back, under load: connections that one translated live
// on with the other, no new one is lost, and nothing of the one that went is left.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { after, before, suite, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { OpenConnection, Probe, RunningLoad } from "../../playground/probe.ts";
import { clusterCidrs, type PlaygroundNode } from "../../playground/topology.ts";
import { ensureBinaries } from "./binaries.ts";
import { type Cluster, ECHO, startCluster } from "./cluster-fixture.ts";
import { createService, waitForSlices } from "./cluster-objects.ts";

const LAUNCHER = fileURLToPath(new URL("../../bin/innermesh", import.meta.url));
const FAMILIES = ["ip", "ip6"] as const;
const LIMIT_MS = 60_000;
/** New connections a second by each way in. */
const RATE_PER_WAY = 50;

/** One way into the Service. */
interface Way {
  readonly probe: Probe;
  readonly address: string;
  readonly port: number;
}

suite("taking over from kube-proxy", () => {
  let cluster: Cluster;
  let node: PlaygroundNode;
  let ways: readonly Way[] = [];

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 2 });
    node = cluster.playground.node(1);
    const { admin, playground } = cluster;
    const pods = [playground.pod(1, 2), playground.pod(2, 1)];
    for (const pod of pods) await cluster.putPod(pod, { labels: { app: "web" } });
    const service = await createService(admin, {
      name: "web",
      spec: {
        type: "NodePort",
        selector: { app: "web" },
        ports: [{ name: "tcp", port: 80, targetPort: ECHO.tcp }],
        ipFamilyPolicy: "RequireDualStack",
      },
    });
    const isReady = (slices: Awaited<ReturnType<typeof waitForSlices>>): boolean =>
      slices.flatMap(({ endpoints }) => endpoints ?? []).length === 2 * pods.length;
    await waitForSlices(admin, "default", "web", isReady);
    const nodePort = service.spec?.ports?.[0]?.nodePort ?? 0;
    const vips = service.spec?.clusterIPs ?? [];
    const [pod, host, client] = [
      cluster.podProbe(1, 1),
      cluster.probe(node.netns),
      cluster.probe(playground.client.netns),
    ];
    ways = FAMILIES.flatMap((family, index) => [
      { probe: pod, address: vips[index] ?? "", port: 80 },
      { probe: host, address: vips[index] ?? "", port: 80 },
      { probe: client, address: node.addresses[family], port: nodePort },
    ]);
  });
  after(async () => cluster[Symbol.asyncDispose]());

  /** Starts kube-proxy on the node and waits until it serves. */
  async function startKubeProxy(mode: "nftables" | "iptables"): Promise<ChildProcess> {
    const { "kube-proxy": program } = await ensureBinaries(["kube-proxy"]);
    const config = cluster.file("kube-proxy.yaml");
    const configuration = {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      clientConnection: { kubeconfig: await cluster.nodeKubeconfig() },
      mode,
      clusterCIDR: `${clusterCidrs.ip},${clusterCidrs.ip6}`,
      // The limit belongs to the machine, not to a namespace.
      conntrack: { maxPerCore: 0, min: 0 },
      nodePortAddresses: ["192.168.0.0/16", "198.18.0.0/16", "fd77::/64"],
    };
    await writeFile(config, stringify(configuration));
    const argv = [program, `--config=${config}`, `--hostname-override=${node.name}`];
    return cluster.playground.spawn(node.netns, argv, { stdio: ["ignore", "ignore", "ignore"] });
  }

  async function end(child: ChildProcess): Promise<void> {
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }

  async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + LIMIT_MS;
    while (!(await condition())) {
      assert.ok(performance.now() < deadlineMs, `Cannot see ${what}: not in ${LIMIT_MS} ms`);
      await delay(50);
    }
  }

  async function allServed(): Promise<void> {
    for (const { probe, address, port } of ways) {
      const isServed = async (): Promise<boolean> =>
        (await probe.tcp(address, port, { timeoutMs: 300 })).kind === "reply";
      await until(`${address}:${port} served`, isServed);
    }
  }

  /** Connections by every way that stay open. */
  async function connect(): Promise<readonly OpenConnection[]> {
    const opened = ways.map(async ({ probe, address, port }) => {
      const connection = await probe.open(address, port);
      return connection.kind === "open" ? connection : assert.fail(JSON.stringify(connection));
    });
    return Promise.all(opened);
  }

  async function allLive(connections: readonly OpenConnection[]): Promise<void> {
    for (const connection of connections) {
      const answer = await connection.say("still there?");
      assert.equal(answer.kind === "reply" && answer.text, "still there?");
    }
  }

  /** New connections by every way, all the time. */
  function startLoads(): readonly RunningLoad[] {
    const options = { ratePerSecond: RATE_PER_WAY, durationMs: 120_000, timeoutMs: 3_000 };
    return ways.map(({ probe, address, port }) =>
      probe.startLoad({ protocol: "tcp", address, port }, options),
    );
  }

  async function lostNothing(loads: readonly RunningLoad[], t: TestContext): Promise<void> {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    const failures = reports.flatMap((report, way) =>
      report.failures.slice(0, 2).map((failure) => ({ to: ways[way]?.address, failure })),
    );
    t.diagnostic(`${reports.reduce((sum, { started }) => sum + started, 0)} new connections`);
    assert.deepEqual(failures, []);
  }

  async function run(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await cluster.playground.exec(node.netns, argv);
    assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** What of kube-proxy the kernel holds: its tables, and lines of its chains but kubelet's. */
  async function ofKubeProxy(): Promise<readonly string[]> {
    const tables = (await run("nft", "list", "tables")).split("\n");
    const rules = await Promise.all(
      ["iptables-nft-save", "ip6tables-nft-save"].map((program) => run(program)),
    );
    return [
      ...tables.filter((table) => table.endsWith(" kube-proxy")),
      ...rules.flatMap((text) => text.split("\n").filter((line) => /KUBE-(?!FIREWALL)/.test(line))),
    ];
  }

  const ourTables = async (): Promise<readonly string[]> =>
    (await run("nft", "list", "tables")).split("\n").filter((table) => table.includes("innermesh"));

  for (const mode of ["nftables", "iptables"] as const) {
    test(`${mode}: flows live on, none is lost, kube-proxy's rules go; and the way back`, async (t) => {
      const kubeProxy = await startKubeProxy(mode);
      await allServed();
      assert.notDeepEqual(await ofKubeProxy(), []);
      const before = await connect();
      const loads = startLoads();
      await delay(300);
      await end(kubeProxy);
      const agent = await cluster.startAgent(node);
      await until("kube-proxy's rules gone", async () => (await ofKubeProxy()).length === 0).catch(
        async (e) => {
          console.log(await ofKubeProxy(), agent.log);
          throw e;
        },
      );
      await delay(300);
      await lostNothing(loads, t);
      await allLive(before);
      assert.equal((await ourTables()).length, 2);

      // Back: our rules stay until kube-proxy's stand.
      const between = await connect();
      const loadsBack = startLoads();
      await delay(300);
      await agent.stop();
      const again = await startKubeProxy(mode);
      await until("kube-proxy's rules", async () => (await ofKubeProxy()).length > 0);
      await until("kube-proxy healthy", async () => {
        const page = await cluster.probe(node.netns).http("127.0.0.1", 10256, { path: "/healthz" });
        return page.kind === "reply" && page.status === 200;
      });
      await delay(1_500); // It is healthy before its first sync.
      const removed = await run(LAUNCHER, "cleanup");
      assert.match(removed, /removed nft table ip innermesh/);
      assert.deepEqual(await ourTables(), []);
      await delay(300);
      await lostNothing(loadsBack, t);
      await allLive([...before, ...between]);
      await end(again);
      await allServed();
      await cluster.playground.exec(node.netns, ["nft", "flush", "ruleset"]);
    });
  }
});
