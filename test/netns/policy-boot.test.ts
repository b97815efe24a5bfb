// A node that boots: pods send before any agent runs. What a policy closes hears nothing from the
// first packet on, with the tables of manifests/host, which the agent takes away when its own
// stand.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import {
  type Manifest,
  namespaceObject,
  podObject,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { createPlayground, type Playground } from "../../playground/cluster.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import { openProbe, type Probe } from "../../playground/probe.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import { ROOT } from "../../scripts/steps.ts";
import {
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { CLUSTER_CIDRS } from "../../service-proxy/plan/packet-cases.ts";
import { FAMILIES, until } from "./served-node.ts";

const PORT = 9_090;
const GLANCE_MS = 150;
/** Counts what reaches a pod from outside of it. */
const COUNTER = `table inet heard {
  counter outside {}
  chain input {
    type filter hook input priority -300;
    iifname != "lo" meta l4proto { tcp, udp } counter name outside
  }
}`;

suite("a node that boots", () => {
  let playground: Playground;
  let echo: EchoServers;
  let probe: Probe;
  let agent: NodeProcess | undefined;
  let directory: string;
  let sender: PlaygroundPod;
  let closed: PlaygroundPod;
  let open: PlaygroundPod;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "innermesh-boot-"));
    playground = await createPlayground({ nodes: 1, podsPerNode: 3, cni: "routed" });
    const [first, second, third] = playground.node(1).pods;
    assert(first !== undefined && second !== undefined && third !== undefined);
    [sender, closed, open] = [first, second, third];
    echo = await startEchoServers(playground, [closed, open]);
    probe = openProbe(playground, sender.netns);
    const node = playground.node(1);
    const items: readonly Manifest[] = [
      SERVICE_CIDR_MANIFEST,
      nodeManifest(node),
      namespaceObject("shop", {}),
      ...[sender, closed, open].map(objectOf),
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { namespace: "shop", name: "closed" },
        spec: { podSelector: { matchLabels: { app: closed.name } }, ingress: [] },
      },
    ];
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
    await writeFile(join(directory, "cluster.json"), list);
  });
  after(async () => {
    await agent?.kill();
    await probe[Symbol.asyncDispose]();
    await echo[Symbol.asyncDispose]();
    await playground[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  const nft = async (netns: string, ...args: readonly string[]): Promise<string | undefined> => {
    const { code, stdout } = await playground.exec(netns, ["nft", ...args]);
    return code === 0 ? stdout : undefined;
  };
  const ask = async (pod: PlaygroundPod): Promise<readonly boolean[]> => {
    const options = { timeoutMs: GLANCE_MS };
    const answers = await Promise.all(
      FAMILIES.flatMap((family) => [
        probe.tcp(pod.addresses[family], PORT, options),
        probe.udp(pod.addresses[family], PORT, options),
      ]),
    );
    return answers.map(({ kind }) => kind === "reply");
  };
  const heard = async (): Promise<number> => {
    const text = await nft(closed.netns, "list", "counter", "inet", "heard", "outside");
    return Number(/packets (\d+)/.exec(text ?? "")?.[1] ?? assert.fail("no counter"));
  };

  test("F36, F44: a closed pod hears nothing, before, while and after the agent starts", async () => {
    assert.deepEqual(new Set(await ask(closed)), new Set([true]), "an open node forwards");
    const node = playground.node(1);
    const file = join(ROOT, "manifests/host/innermesh-boot.nft");
    assert.notEqual(await nft(node.netns, "-f", file), undefined);
    const counter = join(directory, "heard.nft.txt");
    await writeFile(counter, COUNTER);
    assert.notEqual(await nft(closed.netns, "-f", counter), undefined);
    let isOver = false;
    let answered = 0;
    let rounds = 0;
    const sending = (async () => {
      for (; !isOver; rounds++) answered += (await ask(closed)).filter(Boolean).length;
    })();
    assert.deepEqual(new Set(await ask(open)), new Set([false]), "nothing is forwarded at boot");
    agent = startNode(playground, node, [
      `--source=dir:${directory}`,
      `--cluster-cidr=${CLUSTER_CIDRS}`,
      "--network-policy=enforce",
    ]);
    await agent.healthy();
    for (const family of FAMILIES) {
      await until(`table ${family} innermesh-boot is gone`, async () => {
        return (await nft(node.netns, "list", "table", family, "innermesh-boot")) === undefined;
      });
    }
    await until("what no policy closes is open", async () => (await ask(open)).every(Boolean));
    const roundsBefore = rounds;
    await until("some more was sent", async () => rounds > roundsBefore + 2);
    isOver = true;
    await sending;
    assert.deepEqual([await heard(), answered], [0, 0]);
  });

  test("the agent tells what it enforces: series of what was denied, and a report", async () => {
    const { body } = (await agent?.get(10_249, "/metrics")) ?? assert.fail("no agent");
    const valueOf = (series: string): number => {
      const line = body.split("\n").find((one) => one.startsWith(`innermesh_policy_${series} `));
      return Number(line?.split(" ").at(-1) ?? assert.fail(series));
    };
    assert.ok(valueOf('denied_packets_total{reason="in"}') > 0);
    assert.equal(valueOf('objects{kind="NetworkPolicy"}'), 1);
    assert.equal(valueOf('pods{direction="ingress"}'), 1);
    assert.ok(valueOf("apply_duration_seconds_count") > 0);
    const report = await agent?.get(10_256, "/policyz");
    assert.deepEqual(JSON.parse(report?.body ?? ""), { policies: {}, problems: [] });
  });
});

function objectOf({ name, node, addresses }: PlaygroundPod): Manifest {
  const place = { namespace: "shop", node, addresses: Object.values(addresses), ports: [] };
  return podObject({ ...place, name, labels: { app: name } });
}
