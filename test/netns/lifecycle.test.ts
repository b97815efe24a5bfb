// The agent ends, starts, freezes and is removed, while clients go on: rules outlive it, a restart
// changes nothing that need not change, and cleaning up leaves nothing (faults F20, F37).

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startNode } from "../../playground/node-process.ts";
import type { OpenConnection, RunningLoad } from "../../playground/probe.ts";
import { CLUSTER_CIDRS } from "../../service-proxy/plan/packet-cases.ts";
import { bulkManifests, FAMILIES, ServedNode, until } from "./served-node.ts";

const SOAK = process.env["INNERMESH_SOAK"] === "1";
const FREEZE_MS = SOAK ? 300_000 : 5_000;
const PODS = ["pod-1-2", "pod-2-1", "pod-2-2"];

describe("an agent's life", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.serve(
      { number: 1, pods: PODS },
      { number: 2, pods: PODS, spec: { sessionAffinity: "ClientIP" } },
      {
        number: 3,
        pods: PODS,
        spec: { externalTrafficPolicy: "Local", healthCheckNodePort: 32_003 },
      },
      { number: 4, pods: [] },
    );
    await rig.put("bulk", bulkManifests(300, 3));
    await rig.start();
  });
  after(() => rig[Symbol.asyncDispose]());

  function startLoad(ratePerSecond: number): RunningLoad {
    const { address, port } = rig.address("cluster", 1, "ip");
    const target = { protocol: "tcp", address, port } as const;
    return rig.probe("client").startLoad(target, { ratePerSecond, durationMs: 600_000 });
  }

  async function lostNothing(load: RunningLoad): Promise<void> {
    const report = await load.stop();
    assert.deepEqual(report.failures.slice(0, 3), [], `${report.failed} of ${report.started}`);
  }

  /** One connection through each way in, by both families. */
  async function connect(): Promise<readonly OpenConnection[]> {
    const ways = FAMILIES.flatMap((family) =>
      (["cluster", "nodePort", "balancer"] as const).map((entry) => ({ family, entry })),
    );
    return Promise.all(
      ways.map(async ({ family, entry }) => {
        const { address, port } = rig.address(entry, 1, family);
        const connection = await rig.probe("client").open(address, port);
        return connection.kind === "open" ? connection : assert.fail(JSON.stringify(connection));
      }),
    );
  }

  async function allLive(connections: readonly OpenConnection[]): Promise<void> {
    for (const connection of connections) {
      const answer = await connection.say("still there?");
      assert.equal(answer.kind === "reply" && answer.text, "still there?");
    }
  }

  for (const signal of ["stop", "kill"] as const) {
    const name = signal === "stop" ? "SIGTERM" : "SIGKILL";
    test(`${name}: rules stay as they are, old connections and new ones are served`, async () => {
      const [rules, connections] = [await rig.ruleset(), await connect()];
      await rig.agent[signal]();
      assert.equal(await rig.ruleset(), rules);
      await allLive(connections);
      await connect();
      await rig.start();
      await allLive(connections);
    });
  }

  test("a restart changes no element, and rules only into themselves", async () => {
    const rules = await rig.ruleset();
    await rig.elementEvents();
    await rig.agent.kill();
    await rig.start();
    await rig.serve({ number: 6, pods: [] });
    const events: string[] = [];
    await until("what comes after the restart", async () => {
      events.push(...(await rig.elementEvents()));
      return events.length > 0;
    });
    assert.equal(events.includes("endpoints"), false, "what was there is not written again");
    assert.deepEqual(
      events.filter((name) => name === "cluster-ips"),
      ["cluster-ips", "cluster-ips"],
      "one of the new Service in each family",
    );
    await rig.unserve(6);
    await until("all as before", async () => (await rig.ruleset()) === rules);
  });

  test("restarts lose none of 200 new connections a second", async (t) => {
    const load = startLoad(200);
    await delay(300);
    for (const signal of ["stop", "kill"] as const) {
      await rig.agent[signal]();
      await delay(300);
      await rig.start();
      await delay(300);
    }
    const { started } = await load.stop();
    t.diagnostic(`${started} connections`);
    await lostNothing(load);
  });

  test("a frozen agent loses nothing, and catches up in one go", async (t) => {
    const load = startLoad(100);
    const { pid } = rig.agent;
    process.kill(pid, "SIGSTOP");
    const changes = 50;
    for (let n = 1; n <= changes; n++) {
      await rig.serve({ number: 5, pods: PODS.slice(0, 1 + (n % 2)) });
      await delay(FREEZE_MS / changes);
    }
    const before = await rig.generation();
    process.kill(pid, "SIGCONT");
    const { address, port } = rig.address("cluster", 5, "ip6");
    const ms = await until(
      "what changed meanwhile",
      async () => (await rig.probe("pod-1-1").tcp(address, port)).kind === "reply",
    );
    await delay(200);
    const commits = (await rig.generation()) - before;
    t.diagnostic(`caught up after ${ms.toFixed(0)} ms with ${commits} commits`);
    assert.ok(commits <= 5, `${commits} commits`);
    assert.equal((await rig.agent.get(10256, "/healthz")).status, 200);
    await lostNothing(load);
  });

  test("a change of its configuration file ends it, and rules stay", async () => {
    await rig.agent.stop();
    const file = join(rig.directory, "config");
    const configuration = {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      mode: "nftables",
      clusterCIDR: CLUSTER_CIDRS,
      conntrack: { maxPerCore: 0 },
      oomScoreAdj: 0,
    };
    await writeFile(file, JSON.stringify(configuration));
    const flags = [`--config=${file}`, `--source=dir:${rig.directory}`];
    const agent = startNode(rig.playground, rig.node, flags);
    await agent.healthy();
    const rules = await rig.ruleset();
    await writeFile(file, JSON.stringify({ ...configuration, bindAddress: "0.0.0.0" }));
    await until("its end", () => agent.log.some((line) => line.includes("file changed")));
    await agent.stop();
    assert.equal(await rig.ruleset(), rules);
    await rig.start();
  });

  for (const words of [["cleanup"], ["node", "--cleanup"]]) {
    test(`innermesh ${words.join(" ")} leaves nothing of ours and breaks no connection`, async () => {
      const connections = await connect();
      await rig.run("nft", STRANGER.trim().replaceAll("\n", ";"));
      await rig.agent.stop();
      const launcher = new URL("../../bin/innermesh", import.meta.url).pathname;
      const child = rig.playground.spawn(rig.node.netns, [launcher, ...words]);
      let said = "";
      child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
      const [code] = await once(child, "exit");
      assert.equal(code, 0);
      assert.match(said, /removed nft table ip innermesh\nremoved nft table ip6 innermesh\n/);
      assert.equal(await rig.run("nft", "list", "tables"), "table inet stranger\n");
      assert.equal(await rig.run("ss", "-Hltunp"), "");
      assert.equal(await rig.run("ip", "rule", "list"), RULES);
      assert.equal(await rig.run("ip", "route", "list", "table", "1000").catch(() => ""), "");
      await allLive(connections);
      await rig.run("nft", "delete table inet stranger");
      await rig.start();
      await connect();
    });
  }
});

/**
 * The kernel tracks and translates packets, those of old flows too, only while some rule asks for
 * it: on nodes there always is one, of a network plugin or of kube-proxy.
 */
const STRANGER = `
add table inet stranger
add chain inet stranger after { type nat hook postrouting priority srcnat; }
add rule inet stranger after ip saddr 192.0.2.1 masquerade`;
/** A namespace as it is made. */
const RULES = `0:\tfrom all lookup local
32766:\tfrom all lookup main
32767:\tfrom all lookup default
`;
