// `innermesh conformance` on a live cluster: it finds nothing wrong with innermesh, finds what is
// wrong with kube-proxy, and leaves nothing behind, not even when it is interrupted.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, suite, test } from "node:test";

import type { AgentPlace } from "../../conformance/agent-identity.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import { clusterCidrs, type PlaygroundHost } from "../../playground/topology.ts";
import { ROOT } from "../../scripts/steps.ts";
import { eventually } from "./answers.ts";
import { ensureBinaries } from "./binaries.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { ensureNamespace } from "./cluster-objects.ts";

const INNERMESH = join(ROOT, "bin/innermesh");
const NAMESPACE = "judged";

interface CaseReport {
  readonly id: string;
  readonly family: string;
  readonly outcome: { readonly kind: string; readonly why?: string };
}

interface Report {
  readonly kind: string;
  readonly proxyMode: string;
  readonly cases: readonly CaseReport[];
}

suite("conformance on a live cluster", () => {
  let cluster: Cluster;
  let agentsFile: string;
  let proxies: readonly NodeProcess[];

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 2 });
    agentsFile = await startAgents(cluster);
    const nodes = cluster.playground.nodes;
    proxies = await Promise.all(nodes.map((node) => cluster.startAgent(node)));
  });
  after(() => cluster[Symbol.asyncDispose]());

  const start = async (flags: readonly string[]) => {
    const kubeconfig = await cluster.controlPlane.kubeconfig("admin");
    const doors = [`--kubeconfig=${kubeconfig}`, `--agents=${agentsFile}`];
    return spawn(INNERMESH, ["conformance", "run", "services", ...doors, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
  };

  const judge = async (flags: readonly string[]) => {
    const child = await start(["-o", "json", ...flags]);
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    return { report: JSON.parse(output) as Report, code: Number(code) };
  };

  const leftovers = async (): Promise<readonly string[]> => {
    const lists = [
      `/api/v1/namespaces/${NAMESPACE}/services`,
      `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`,
    ];
    const found = await Promise.all(
      lists.map((path) =>
        cluster.admin.request<{ readonly items: readonly object[] }>("GET", path),
      ),
    );
    return found.flatMap(({ items }) => items.map((item) => JSON.stringify(item)));
  };

  test("innermesh passes every case in both families; nothing is skipped", async () => {
    const { report, code } = await judge([]);
    const bad = report.cases.filter(({ outcome }) => outcome.kind !== "passed");
    assert.deepEqual(
      bad.filter(({ outcome }) => outcome.kind !== "flaky"),
      [],
    );
    assert.equal(code, 0);
    assert.equal(report.kind, "ConformanceRun");
    assert.equal(report.proxyMode, "nftables");
    assert.deepEqual(new Set(report.cases.map(({ family }) => family)), new Set(["IPv4", "IPv6"]));
    // The slice controller removes what belonged to a Service a moment after it.
    await eventually(async () => assert.deepEqual(await leftovers(), []));
  });

  test("an interrupted run cleans up after itself and fails", async () => {
    const child = await start(["--test", "^affinity-timeout$"]);
    await eventually(async () => assert.notDeepEqual(await leftovers(), []));
    child.kill("SIGINT");
    const [code] = await once(child, "exit");
    assert.equal(code, 1);
    await eventually(async () => assert.deepEqual(await leftovers(), []));
  });

  test("kube-proxy passes too, but for the UDP flows that it is known to leave behind", async () => {
    const { "kube-proxy": kubeProxy } = await ensureBinaries(["kube-proxy"]);
    const { playground } = cluster;
    for (const proxy of proxies) await proxy.stop();
    for (const { netns, name } of playground.nodes) {
      const cleanup = await playground.exec(netns, [INNERMESH, "cleanup"]);
      assert.equal(cleanup.code, 0, cleanup.stderr);
      const flags = [
        `--kubeconfig=${await cluster.nodeKubeconfig()}`,
        `--hostname-override=${name}`,
        `--cluster-cidr=${clusterCidrs.ip},${clusterCidrs.ip6}`,
        "--proxy-mode=nftables",
        "--conntrack-max-per-core=0",
      ];
      playground.spawn(netns, [kubeProxy, ...flags], { stdio: "ignore" });
    }
    const few = ["^(cluster-ip-tcp|node-port|external-policy-local|udp-flow-ends)$"];
    const { report, code } = await judge([`--test=${few.join("")}`, "--retries=0", "--timeout=10"]);
    const failed = report.cases.filter(({ outcome }) => outcome.kind === "failed");
    assert.deepEqual(new Set(failed.map(({ id }) => id)), new Set(["udp-flow-ends"]));
    assert.match(failed[0]?.outcome.why ?? "", /expected REFUSED; saw REPLY from/);
    assert.equal(code, 1);
  });
});

/** Starts an agent in every pod, on every node and outside. @returns the file that names them */
async function startAgents(cluster: Cluster): Promise<string> {
  const { playground, admin } = cluster;
  await ensureNamespace(admin, NAMESPACE);
  const start = async (host: PlaygroundHost, name: string, place: AgentPlace, node: string) => {
    const addresses = [host.addresses.ip, host.addresses.ip6];
    const control = cluster.file(`${name}.sock`);
    const words = [`--name=${name}`, `--node=${node}`, `--place=${place}`, `--control=${control}`];
    const argv = [
      INNERMESH,
      "conformance",
      "agent",
      ...words,
      `--addresses=${addresses.join(",")}`,
    ];
    playground.spawn(host.netns, argv, { stdio: "ignore" });
    return { name, place, node, addresses, control };
  };
  const agents = [await start(playground.client, "outside", "outside", "outside")];
  for (const node of playground.nodes) {
    agents.push(await start(node, `host-${node.name}`, "host", node.name));
    for (const pod of node.pods) {
      // The fixture's own echo has the ports that agents want.
      await cluster.echo.stop(pod);
      await cluster.putPod(pod, { namespace: NAMESPACE });
      agents.push(await start(pod, pod.name, "pod", pod.node));
    }
  }
  const file = cluster.file("agents.json");
  await writeFile(file, JSON.stringify({ namespace: NAMESPACE, agents }));
  return file;
}
