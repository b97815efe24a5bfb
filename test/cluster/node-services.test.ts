// Every kind of Service, served by `innermesh node` from what real controllers make of it.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { V1Service } from "@kubernetes/client-node";
import type { Playground } from "../../playground/cluster.ts";
import type { Probe } from "../../playground/probe.ts";
import { answeredBy, callersSeen, endsWith, eventually, http, tcp, udp } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import {
  createService,
  type ServiceSpec,
  setLoadBalancerIngress,
  waitForSlices,
} from "./cluster-objects.ts";

const PORTS = [
  { name: "http", port: 80, targetPort: "web" },
  { name: "tcp", port: 9090, targetPort: 9090 },
  { name: "udp", port: 9090, targetPort: 9090, protocol: "UDP" },
];
const WEB = { app: "web" };
const ALL = ["pod-1-1", "pod-1-2", "pod-2-1", "pod-2-2"];
const CONTAINER_PORTS = [{ name: "web", containerPort: 8080 }];

suite("Services", () => {
  let cluster: Cluster;
  let admin: ApiClient;
  let playground: Playground;
  /** In pod-1-1. */
  let pod: Probe;
  /** On node-1. */
  let host: Probe;
  let outside: Probe;
  let vips = 10;

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 2 });
    ({ admin, playground } = cluster);
    pod = cluster.podProbe(1, 1);
    host = cluster.probe(playground.node(1).netns);
    outside = cluster.probe(playground.client.netns);
    const starts = playground.nodes.map((node) => cluster.startAgent(node));
    const pods = playground.nodes.flatMap((node) => node.pods);
    const writes = pods.map((p) => cluster.putPod(p, { labels: WEB, ports: CONTAINER_PORTS }));
    await Promise.all([...starts, ...writes]);
  });
  after(async () => cluster[Symbol.asyncDispose]());

  /** A dual-stack Service of all the pods. @returns its addresses, IPv4 first, and itself */
  async function create(
    name: string,
    spec: Partial<ServiceSpec["spec"]> = {},
  ): Promise<{ readonly ip: string; readonly ip6: string; readonly service: V1Service }> {
    const service = await createService(admin, {
      name,
      spec: { selector: WEB, ipFamilyPolicy: "RequireDualStack", ports: PORTS, ...spec },
    });
    const [ip = "", ip6 = ""] = service.spec?.clusterIPs ?? [];
    return { ip, ip6, service };
  }

  async function patch(name: string, change: object): Promise<V1Service> {
    const path = `/api/v1/namespaces/default/services/${name}`;
    return admin.request<V1Service>("PATCH", path, change);
  }

  function nodePortOf({ spec }: V1Service, name: string): number {
    return spec?.ports?.find((port) => port.name === name)?.nodePort ?? assert.fail("no NodePort");
  }

  /** A new outside address, led to one node. */
  async function announce(node: number): Promise<string> {
    vips += 1;
    const address = `203.0.113.${vips}`;
    await playground.routeVip(`${address}/32`, playground.node(node));
    return address;
  }

  test("ClusterIP: both families, TCP and UDP, from pods unmasked, from the node masked", async () => {
    const { ip, ip6 } = await create("plain");
    const own = playground.pod(1, 1).addresses;
    const node = playground.node(1).addresses;
    for (const [address, podAddress, nodeAddress] of [
      [ip, own.ip, node.ip],
      [ip6, own.ip6, node.ip6],
    ] as const) {
      for (const target of [http(address), tcp(address), udp(address)]) {
        const fromPod = await answeredBy(pod, target, ALL);
        const elsewhere = fromPod.filter(({ echo }) => echo?.pod !== "pod-1-1");
        assert.deepEqual(callersSeen(elsewhere), [podAddress]);
        const fromNode = await answeredBy(host, target, ALL);
        assert.ok(callersSeen(fromNode).includes(nodeAddress), callersSeen(fromNode).join());
      }
    }
  });

  test("NodePort: every node answers; policy Local keeps the caller's address", async () => {
    const { service } = await create("node-port", { type: "NodePort" });
    const port = nodePortOf(service, "http");
    for (const node of playground.nodes) {
      for (const address of [node.addresses.ip, node.addresses.ip6]) {
        await answeredBy(outside, http(address, port), ALL);
      }
    }
    await patch("node-port", { spec: { externalTrafficPolicy: "Local" } });
    const { addresses } = playground.node(2);
    for (const family of ["ip", "ip6"] as const) {
      // The first answers may come from before the change.
      await eventually(async () => {
        const target = http(addresses[family], port);
        const replies = await answeredBy(outside, target, ["pod-2-1", "pod-2-2"]);
        assert.deepEqual(callersSeen(replies), [playground.client.addresses[family]]);
      });
    }
  });

  test("LoadBalancer: a VIP is served once status names it, unless it is the proxy's", async () => {
    const vip = await announce(1);
    await create("balanced", { type: "LoadBalancer" });
    await endsWith(outside, http(vip), "timeout");
    await setLoadBalancerIngress(admin, "default", "balanced", [{ ip: vip }]);
    await answeredBy(outside, http(vip), ALL);
    await answeredBy(pod, http(vip), ALL);
    await setLoadBalancerIngress(admin, "default", "balanced", [{ ip: vip, ipMode: "Proxy" }]);
    await endsWith(outside, http(vip), "timeout");
  });

  test("LoadBalancer: source ranges shut others out, and open again when they go", async () => {
    const vip = await announce(2);
    await create("ranges", { type: "LoadBalancer", loadBalancerSourceRanges: ["192.0.2.0/24"] });
    await setLoadBalancerIngress(admin, "default", "ranges", [{ ip: vip }]);
    await endsWith(outside, http(vip), "timeout");
    const own = `${playground.client.addresses.ip}/32`;
    await patch("ranges", { spec: { loadBalancerSourceRanges: ["192.0.2.0/24", own] } });
    await answeredBy(outside, http(vip), ALL);
  });

  test("externalIPs: served for any type, and given up when they go", async () => {
    const vip = await announce(1);
    await create("external", { externalIPs: [vip] });
    await answeredBy(outside, http(vip), ALL);
    await answeredBy(outside, udp(vip), ALL);
    await patch("external", { spec: { externalIPs: [] } });
    await endsWith(outside, http(vip), "timeout");
  });

  test("affinity: one client stays with one pod until affinity is switched off", async () => {
    const { ip } = await create("sticky", { sessionAffinity: "ClientIP" });
    await eventually(async () => {
      const results = await pod.tryMany({ timeoutMs: 500, ...http(ip) }, 20, 4);
      const pods = new Set(results.map((r) => (r.kind === "reply" ? r.echo?.pod : r.kind)));
      assert.equal(pods.size, 1);
      assert.ok(ALL.includes([...pods][0] ?? ""), [...pods].join());
    });
    await patch("sticky", { spec: { sessionAffinity: "None" } });
    await answeredBy(pod, http(ip), ALL);
  });

  test("internal policy Local: only pods of the caller's node; none there, nothing", async () => {
    const { ip } = await create("inside", { internalTrafficPolicy: "Local" });
    await answeredBy(pod, http(ip), ["pod-1-1", "pod-1-2"]);
    const two = { role: "lonely" };
    await cluster.putPod(playground.pod(2, 2), {
      labels: { ...WEB, ...two },
      ports: CONTAINER_PORTS,
    });
    await patch("inside", { spec: { selector: two } });
    await endsWith(pod, http(ip), "timeout");
    await answeredBy(cluster.podProbe(2, 1), http(ip), ["pod-2-2"]);
  });

  test("external policy Local: the health check port counts, in kube-proxy's words", async () => {
    const { service } = await create("checked", {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      selector: { role: "checked" },
    });
    const port = service.spec?.healthCheckNodePort ?? 0;
    const labels = { ...WEB, role: "checked" };
    for (const number of [1, 2]) {
      await cluster.putPod(playground.pod(1, number), { labels, ports: CONTAINER_PORTS });
    }
    const ask = async (node: number): Promise<string> => {
      const url = `http://${playground.node(node).addresses.ip}:${port}/any/path`;
      return (await playground.exec(playground.client.netns, ["curl", "-si", url])).stdout;
    };
    const full = await eventually(async () => {
      const answer = await ask(1);
      assert.match(answer, /^HTTP\/1.1 200 /);
      assert.match(answer, /^x-load-balancing-endpoint-weight: 2\r$/im);
      return answer;
    });
    assert.match(full, /^content-type: application\/json\r$/im);
    assert.match(full, /^x-content-type-options: nosniff\r$/im);
    assert.deepEqual(JSON.parse(full.slice(full.indexOf("{"))), {
      service: { namespace: "default", name: "checked" },
      localEndpoints: 2,
      serviceProxyHealthy: true,
    });
    assert.match(await ask(2), /^HTTP\/1.1 503 [^]*"localEndpoints":0/);
  });

  test("no endpoints at all: refused at once, from everywhere", async () => {
    const { ip, ip6, service } = await create("empty", {
      type: "NodePort",
      selector: { app: "nobody" },
    });
    const { addresses } = playground.node(1);
    for (const address of [ip, ip6]) await endsWith(pod, http(address), "refused");
    await endsWith(outside, http(addresses.ip, nodePortOf(service, "http")), "refused");
    await endsWith(pod, udp(ip), "refused");
  });

  test("headless and ExternalName are left alone, and a Service may turn into either", async () => {
    await createService(admin, {
      name: "headless",
      spec: { clusterIP: "None", selector: WEB, ports: [{ port: 80, targetPort: 8080 }] },
    });
    await createService(admin, {
      name: "turning",
      spec: { type: "ExternalName", externalName: "example.invalid" },
    });
    const inside = { type: "ClusterIP", externalName: null, selector: WEB, ports: PORTS };
    const turned = await patch("turning", { spec: inside });
    const ip = turned.spec?.clusterIP ?? "";
    await answeredBy(pod, http(ip), ALL);
    await patch("turning", { spec: { type: "ExternalName", externalName: "example.invalid" } });
    await endsWith(pod, http(ip), "timeout");
    const { stdout } = await playground.exec(playground.node(1).netns, ["nft", "list", "ruleset"]);
    assert.doesNotMatch(stdout, /headless/);
  });

  test("a Service labelled for another proxy is given up, and taken back", async () => {
    const { ip } = await create("labelled");
    await answeredBy(pod, http(ip), ALL);
    const label = "service.kubernetes.io/service-proxy-name";
    await patch("labelled", { metadata: { labels: { [label]: "another" } } });
    await endsWith(pod, http(ip), "timeout");
    await patch("labelled", { metadata: { labels: { [label]: null } } });
    await answeredBy(pod, http(ip), ALL);
  });

  test("readiness decides, unless publishNotReadyAddresses says otherwise", async () => {
    const labels = { role: "wavering" };
    const wavering = playground.pod(2, 1);
    const write = (ready: boolean): Promise<void> =>
      cluster.putPod(wavering, { labels: { ...WEB, ...labels }, ready, ports: CONTAINER_PORTS });
    await write(false);
    const { ip } = await create("wavering", { selector: labels });
    await waitForSlices(admin, "default", "wavering", (slices) =>
      slices.some(({ endpoints }) => (endpoints ?? []).length > 0),
    );
    await endsWith(pod, http(ip), "refused");
    await write(true);
    await answeredBy(pod, http(ip), ["pod-2-1"]);
    await write(false);
    await endsWith(pod, http(ip), "refused");
    await patch("wavering", { spec: { publishNotReadyAddresses: true } });
    await answeredBy(pod, http(ip), ["pod-2-1"]);
    await write(true);
  });

  test("nobody may take the address of a node, the API server or another Service", async () => {
    const { ip: victim } = await create("victim");
    const hostAddress = playground.hostAddress ?? "";
    const nodes = playground.nodes.map(({ addresses }) => addresses.ip);
    const claimed = [...nodes, hostAddress, victim];
    await create("thief", { externalIPs: claimed, selector: { app: "thief" } });
    const events = await eventually(async () => {
      const query = "?fieldSelector=reason%3DServiceNotProgrammed";
      const path = `/apis/events.k8s.io/v1/namespaces/default/events${query}`;
      const list = await admin.request<EventList>("GET", path);
      const found = list.items.filter((event) => event.reportingInstance === "node-1");
      assert.ok(found.length >= claimed.length, `${found.length} events`);
      return found;
    });
    for (const address of claimed) {
      const event = events.find(({ note }) => note.includes(`${address} `));
      assert.equal(event?.regarding.name, "thief", `nothing was said about ${address}`);
    }
    await answeredBy(pod, http(victim), ALL);
    assert.equal(
      (await host.http(playground.node(1).addresses.ip, 10256, { path: "/livez" })).kind,
      "reply",
    );
  });

  test("after all that, each node's kernel holds what the API says, and nothing else", async () => {
    await Promise.all(playground.nodes.map((node) => cluster.noDrift(node)));
  });
});

interface EventList {
  readonly items: readonly {
    readonly reason: string;
    readonly note: string;
    readonly reportingInstance: string;
    readonly regarding: { readonly kind: string; readonly name: string };
  }[];
}
