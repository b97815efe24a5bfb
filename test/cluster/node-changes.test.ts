// What happens to flows while the cluster changes under them: pods that end, ports that move,
// agents and API servers that restart.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { V1Service } from "@kubernetes/client-node";
import type { Playground } from "../../playground/cluster.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import type { OpenConnection, Probe } from "../../playground/probe.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import { answeredBy, endsWith, eventually, http, tcp, udp } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { createService, deletePod, waitForSlices } from "./cluster-objects.ts";

const PORTS = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "tcp", port: 9090, targetPort: 9090 },
  { name: "udp", port: 9090, targetPort: 9090, protocol: "UDP" },
];
/** Three times what is promised: the machine may be busy. */
const PROMPT_MS = 6_000;
const LOAD = { ratePerSecond: 150, durationMs: 60_000 };

suite("changes", () => {
  let cluster: Cluster;
  let admin: ApiClient;
  let playground: Playground;
  let pod: Probe;
  let agent: NodeProcess;

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 2, cni: "bridge" });
    ({ admin, playground } = cluster);
    pod = cluster.podProbe(1, 1);
    const [one, two] = playground.nodes.map((node) => cluster.startAgent(node));
    agent = await (one ?? assert.fail());
    await two;
  });
  after(async () => cluster[Symbol.asyncDispose]());

  /** A Service of the pods that carry its name as a label, and those pods. */
  async function create(name: string, pods: readonly PlaygroundPod[], more = {}): Promise<string> {
    for (const each of pods) await label(each, name);
    const spec = { selector: { role: name }, ports: PORTS, ...more };
    const service = await createService(admin, { name, spec });
    return service.spec?.clusterIP ?? "";
  }

  function label(each: PlaygroundPod, role: string, ready = true): Promise<void> {
    return cluster.putPod(each, { labels: { role }, ready });
  }

  async function patch(name: string, change: object): Promise<V1Service> {
    return admin.request<V1Service>("PATCH", `/api/v1/namespaces/default/services/${name}`, change);
  }

  async function open(address: string, port = 9090): Promise<OpenConnection> {
    const connection = await pod.open(address, port);
    assert.equal(connection.kind, "open");
    return connection as OpenConnection;
  }

  test("a pod that ends is left at once when others are ready, and used when none is", async () => {
    const [first, second] = [playground.pod(1, 2), playground.pod(2, 1)];
    const vip = await create("ending", [first, second]);
    await answeredBy(pod, http(vip), [first.name, second.name]);
    const connection = await open(vip);
    const load = pod.startLoad(http(vip), LOAD);
    await deletePod(admin, "default", first.name, 30);
    await answeredBy(pod, http(vip), [second.name]);
    await label(second, "ending", false);
    await answeredBy(pod, http(vip), [first.name]);
    await label(second, "ending");
    await answeredBy(pod, http(vip), [second.name]);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures.slice(0, 3)));
    assert.equal((await connection.say("still there?")).kind, "reply");
    await deletePod(admin, "default", first.name);
    await label(second, "nothing");
    await endsWith(pod, http(vip), "refused");
  });

  test("a port that moves under a flow: old rules go within 2 s, the connection lives on", async () => {
    const vip = await create("moving", [playground.pod(2, 2)]);
    await answeredBy(pod, tcp(vip), ["pod-2-2"]);
    const connection = await open(vip);
    const moved = PORTS.map((port) => ({ ...port, port: port.port + 1 }));
    await patch("moving", { spec: { ports: moved } });
    await endsWith(pod, tcp(vip), "refused", PROMPT_MS);
    await answeredBy(pod, tcp(vip, 9091), ["pod-2-2"]);
    assert.equal((await connection.say("still there?")).kind, "reply");
  });

  test("a policy that changes under a flow: the connection lives on", async () => {
    const vip = await create("policy", [playground.pod(2, 2)]);
    await answeredBy(pod, tcp(vip), ["pod-2-2"]);
    const connection = await open(vip);
    await patch("policy", { spec: { internalTrafficPolicy: "Local" } });
    await endsWith(pod, tcp(vip), "timeout", PROMPT_MS);
    assert.equal((await connection.say("still there?")).kind, "reply");
  });

  test("a UDP client that keeps its port reaches the pod that replaced its backend", async () => {
    const vip = await create("replaced", [playground.pod(2, 1)]);
    const flow = { ...udp(vip), sourcePort: 40_001 };
    await eventually(async () => {
      const result = await pod.try({ ...flow, timeoutMs: 300 });
      assert.equal(result.kind === "reply" && result.echo?.pod, "pod-2-1");
    });
    await label(playground.pod(1, 2), "replaced");
    await label(playground.pod(2, 1), "nothing");
    await eventually(async () => {
      const result = await pod.try({ ...flow, timeoutMs: 300 });
      assert.equal(result.kind === "reply" && result.echo?.pod, "pod-1-2");
    }, PROMPT_MS);
    await admin.request("DELETE", "/api/v1/namespaces/default/services/replaced");
    await eventually(async () => {
      const argv = ["conntrack", "-L", "-p", "udp", "--orig-dst", vip];
      assert.equal((await playground.exec(playground.node(1).netns, argv)).stdout, "");
    }, PROMPT_MS);
  });

  test("PreferSameZone: only the caller's zone, as long as it has a ready pod", async () => {
    const pods = [playground.pod(1, 2), playground.pod(2, 1)];
    const vip = await create("zoned", pods, { trafficDistribution: "PreferSameZone" });
    await answeredBy(pod, http(vip), ["pod-1-2"]);
    await answeredBy(cluster.podProbe(2, 2), http(vip), ["pod-2-1"]);
    await label(playground.pod(1, 2), "zoned", false);
    await answeredBy(pod, http(vip), ["pod-2-1"]);
    await label(playground.pod(1, 2), "zoned");
    await answeredBy(pod, http(vip), ["pod-1-2"]);
  });

  test("SIGKILL of the agent: nothing is lost, and what changed meanwhile is served", async () => {
    const vip = await create("restarted", [playground.pod(1, 2), playground.pod(2, 1)]);
    await answeredBy(pod, http(vip), ["pod-1-2", "pod-2-1"]);
    const connection = await open(vip);
    const load = pod.startLoad(http(vip), LOAD);
    await delay(300);
    await agent.kill();
    await label(playground.pod(2, 1), "nothing");
    await waitForSlices(admin, "default", "restarted", (slices) =>
      slices.every(({ endpoints }) => (endpoints ?? []).length === 1),
    );
    await delay(300);
    agent = await cluster.startAgent(playground.node(1));
    await answeredBy(pod, http(vip), ["pod-1-2"]);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures.slice(0, 3)));
    assert.equal((await connection.say("still there?")).kind, "reply");
    await cluster.noDrift(playground.node(1));
  });

  test("SIGKILL of the API server: nothing is lost, the agent lives and catches up", async () => {
    const vip = await create("headstrong", [playground.pod(1, 2), playground.pod(2, 1)]);
    await answeredBy(pod, http(vip), ["pod-1-2", "pod-2-1"]);
    const load = pod.startLoad(http(vip), LOAD);
    await cluster.controlPlane.stopApiserver();
    await delay(2_000);
    assert.equal((await agent.get(10256, "/livez")).status, 200);
    await cluster.controlPlane.startApiserver();
    await label(playground.pod(2, 1), "nothing");
    await answeredBy(pod, http(vip), ["pod-1-2"]);
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures.slice(0, 3)));
  });

  test("an agent that starts without an API server leaves the rules of before alone", async () => {
    const vip = await create("gated", [playground.pod(1, 2), playground.pod(2, 1)]);
    await answeredBy(pod, http(vip), ["pod-1-2", "pod-2-1"]);
    const load = pod.startLoad(http(vip), LOAD);
    await cluster.controlPlane.stopApiserver();
    await agent.kill();
    agent = await cluster.launchAgent(playground.node(1));
    await eventually(async () => {
      assert.equal((await agent.get(10256, "/healthz")).status, 503);
    });
    await delay(1_000);
    await cluster.controlPlane.startApiserver();
    await agent.healthy();
    const report = await load.stop();
    assert.equal(report.failed, 0, JSON.stringify(report.failures.slice(0, 3)));
    assert.deepEqual(Object.keys(report.pods).toSorted(), ["pod-1-2", "pod-2-1"]);
  });

  test("after all that, each node's kernel holds what the API says, and nothing else", async () => {
    await Promise.all(playground.nodes.map((node) => cluster.noDrift(node)));
  });
});
