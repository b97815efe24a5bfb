// What an operator of kube-proxy finds in its place: flags, pages, series, Events, and no more
// rights than it had.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { Playground } from "../../playground/cluster.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import { clusterCidrs } from "../../playground/topology.ts";
import { type Metrics, scrape } from "./agent-metrics.ts";
import { answeredBy, eventually, http } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { createService, registerNode } from "./cluster-objects.ts";

/** Every series of kube-proxy 1.36 in nftables mode. */
const KUBE_PROXY_SERIES = [
  "kubeproxy_sync_proxy_rules_duration_seconds",
  "kubeproxy_sync_full_proxy_rules_duration_seconds",
  "kubeproxy_sync_partial_proxy_rules_duration_seconds",
  "kubeproxy_network_programming_duration_seconds",
  "kubeproxy_conntrack_reconciler_sync_duration_seconds",
  "kubeproxy_conntrack_reconciler_deleted_entries_total",
  "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
  "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
  "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
  "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
  "kubeproxy_sync_proxy_rules_endpoint_changes_total",
  "kubeproxy_sync_proxy_rules_service_changes_pending",
  "kubeproxy_sync_proxy_rules_service_changes_total",
  "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
  "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
  "kubeproxy_proxy_healthz_total",
  "kubeproxy_proxy_livez_total",
  "rest_client_requests_total",
  "rest_client_request_duration_seconds",
  "process_resident_memory_bytes",
  "process_cpu_seconds_total",
];
const ALL = ["pod-1-1", "pod-1-2", "pod-2-1", "pod-2-2"];

suite("agent", () => {
  let cluster: Cluster;
  let admin: ApiClient;
  let playground: Playground;
  /** Of node-1, from a configuration file. */
  let agent: NodeProcess;
  /** Of node-2, from flags alone. */
  let flagged: NodeProcess;
  let vip: string;

  before(async () => {
    cluster = await startCluster({ nodes: 2, podsPerNode: 2 });
    ({ admin, playground } = cluster);
    for (const pod of playground.nodes.flatMap((node) => node.pods)) {
      await cluster.putPod(pod, { labels: { app: "web" } });
    }
    const ports = [
      { name: "http", port: 80, targetPort: 8080 },
      { name: "udp", port: 53, targetPort: 9090, protocol: "UDP" },
    ];
    const service = await createService(admin, {
      name: "web",
      spec: { selector: { app: "web" }, ports, ipFamilyPolicy: "RequireDualStack" },
    });
    vip = service.spec?.clusterIP ?? "";
    agent = await cluster.startAgent(playground.node(1));
    // As a kube-proxy user writes them: `--flag value` and `--flag=value`.
    const kubeconfig = await cluster.nodeKubeconfig();
    const cidrs = `${clusterCidrs.ip},${clusterCidrs.ip6}`;
    const flags = `--kubeconfig ${kubeconfig} --cluster-cidr=${cidrs} --proxy-mode=nftables \
      --iptables-sync-period 30s --detect-local-mode ClusterCIDR --v=4`;
    flagged = startNode(playground, playground.node(2), flags.split(/\s+/));
    cluster.defer(() => flagged.kill());
    await flagged.healthy();
  });
  after(async () => cluster[Symbol.asyncDispose]());

  test("kube-proxy's flags and its configuration file serve the same Services", async () => {
    await answeredBy(cluster.podProbe(1, 1), http(vip), ALL);
    await answeredBy(cluster.podProbe(2, 1), http(vip), ALL);
    for (const node of playground.nodes) await cluster.noDrift(node);
  });

  test("/healthz follows the autoscaler's taint and the Node's deletion, /livez does not", async () => {
    const status = async (path: string): Promise<number> => (await agent.get(10256, path)).status;
    const becomes = (expected: number): Promise<void> =>
      eventually(async () => assert.equal(await status("/healthz"), expected));
    const path = "/api/v1/nodes/node-1";
    await becomes(200);
    const taint = { key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" };
    await admin.request("PATCH", path, { spec: { taints: [taint] } });
    await becomes(503);
    assert.equal(await status("/livez"), 200);
    await admin.request("PATCH", path, { spec: { taints: null, unschedulable: true } });
    await becomes(200);
    await admin.request("PATCH", path, { metadata: { finalizers: ["example.com/keep"] } });
    await admin.request("DELETE", path);
    await becomes(503);
    await admin.request("PATCH", path, { metadata: { finalizers: null } });
    await becomes(503);
    assert.equal(await status("/livez"), 200);
    // Its Services are served all the same: what it has lost is balancers' trust.
    await answeredBy(cluster.podProbe(1, 1), http(vip), ALL);
    const { addresses, podCidrs } = playground.node(1);
    await registerNode(admin, {
      name: "node-1",
      addresses: [addresses.ip, addresses.ip6],
      podCIDRs: [podCidrs.ip, podCidrs.ip6],
      labels: { "topology.kubernetes.io/zone": "a" },
    });
    await becomes(200);
  });

  test("/healthz, /livez and /healthz of the metrics port speak kube-proxy's JSON", async () => {
    const { status, body } = await agent.get(10256, "/healthz");
    assert.equal(status, 200);
    const healthz = JSON.parse(body) as Record<string, unknown>;
    assert.deepEqual(Object.keys(healthz).toSorted(), [
      "currentTime",
      "healthy",
      "lastUpdated",
      "nodeEligible",
      "status",
    ]);
    assert.deepEqual(Object.keys(healthz["status"] as object), ["IPv4", "IPv6"]);
    assert.equal((await agent.get(10249, "/healthz")).body, "ok");
    assert.equal((await agent.get(10256, "/nothing")).status, 404);
  });

  test("/proxyMode and /configz answer kube-proxy's way", async () => {
    assert.equal((await agent.get(10249, "/proxyMode")).body, "nftables");
    const { body } = await agent.get(10249, "/configz");
    const page = JSON.parse(body) as Record<string, Record<string, unknown>>;
    const config = page["kubeproxy.config.k8s.io"] ?? {};
    assert.equal(config["clusterCIDR"], `${clusterCidrs.ip},${clusterCidrs.ip6}`);
    assert.equal(config["mode"], "nftables");
    const fromFlags = JSON.parse((await flagged.get(10249, "/configz")).body) as typeof page;
    assert.equal(fromFlags["kubeproxy.config.k8s.io"]?.["detectLocalMode"], "ClusterCIDR");
  });

  test("/metrics has kube-proxy's series, and their values are true", async () => {
    const before = await scrape(agent);
    const missing = KUBE_PROXY_SERIES.filter((name) => !before.series.has(name));
    assert.deepEqual(missing, []);
    const changes = (metrics: Metrics, what: "endpoint" | "service"): number =>
      metrics.sum(`kubeproxy_sync_proxy_rules_${what}_changes_total`);
    const programmed = (metrics: Metrics): number =>
      metrics.sum("kubeproxy_network_programming_duration_seconds_count") || 0;
    const local = await createService(admin, {
      name: "local",
      spec: { selector: { app: "far" }, ports: [{ port: 80 }], internalTrafficPolicy: "Local" },
    });
    assert.ok(local.spec?.clusterIP);
    await cluster.putPod(playground.pod(2, 2), { labels: { app: "far" } });
    const after = await eventually(async () => {
      const metrics = await scrape(agent);
      const noLocal = { traffic_policy: "internal", ip_family: "IPv4" };
      const name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
      assert.equal(metrics.sum(name, noLocal), 1);
      return metrics;
    });
    assert.ok(changes(after, "service") > changes(before, "service"));
    assert.ok(changes(after, "endpoint") > changes(before, "endpoint"));
    assert.ok(programmed(after) > programmed(before));
    const nowSeconds = Date.now() / 1000;
    for (const ip_family of ["IPv4", "IPv6"]) {
      const last = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
      const ageSeconds = nowSeconds - after.sum(last, { ip_family });
      assert.ok(ageSeconds >= -1 && ageSeconds < 10, `${ip_family} synced ${ageSeconds} s ago`);
    }
    assert.equal(after.sum("kubeproxy_sync_proxy_rules_endpoint_changes_pending"), 0);
    assert.ok(after.sum("rest_client_requests_total", { code: "200" }) > 0);
    assert.ok(after.sum("innermesh_nft_sent_bytes_total") > 0);
    assert.ok(after.sum("innermesh_nft_commit_duration_seconds_count") > 0);
    assert.ok(after.sum("innermesh_conntrack_limit") > 0);
  });

  test("the Node has an Event that says who serves it", async () => {
    const path = "/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=reason%3DStarting";
    await eventually(async () => {
      const list = await admin.request<{ items: NodeEvent[] }>("GET", path);
      for (const name of ["node-1", "node-2"]) {
        const event = list.items.find(({ regarding }) => regarding.name === name);
        assert.equal(event?.regarding.kind, "Node");
        assert.equal(event?.reportingInstance, name);
      }
    });
  });

  test("what the role allows is enough: nothing was forbidden", async () => {
    for (const { log } of [agent, flagged]) {
      assert.deepEqual(
        log.filter((line) => /forbidden|unauthorized/i.test(line)),
        [],
      );
    }
    assert.equal((await scrape(agent)).sum("innermesh_events_dropped_total"), NaN);
  });

  test("the service account reads no secrets, and changes nothing", async () => {
    const serviceAccount = { namespace: "kube-system", name: "innermesh-node" };
    using node = await cluster.controlPlane.clientFor({ serviceAccount });
    for (const path of [
      "/api/v1/secrets",
      "/api/v1/namespaces/kube-system/configmaps",
      "/api/v1/namespaces/innermesh-system/secrets/innermesh-ca",
      "/api/v1/namespaces/innermesh-system/configmaps/innermesh-bans",
    ]) {
      await assert.rejects(node.request("GET", path), /403 Forbidden/);
    }
    const token = `/api/v1/namespaces/kube-system/serviceaccounts/innermesh-node/token`;
    await assert.rejects(node.request("POST", token, {}), /403 Forbidden/);
    for (const object of ["nodes/node-1", "namespaces/default/pods/any", "namespaces/default"]) {
      await assert.rejects(node.request("PATCH", `/api/v1/${object}`, {}), /403 Forbidden/);
    }
  });
});

interface NodeEvent {
  readonly reportingInstance: string;
  readonly regarding: { readonly kind: string; readonly name: string };
}
