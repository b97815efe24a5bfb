import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMetricsTable, healthSeries, kubeProxySeries, ownSeries } from "./catalogue.ts";
import { makeHealthMetrics, makeNodeMetrics } from "./node-metrics.ts";
import { formatSeriesTable, gauge, histogram } from "./series.ts";

/** kube-proxy 1.36's own series in nftables mode. */
const KUBE_PROXY_NAMES = `
conntrack_reconciler_deleted_entries_total conntrack_reconciler_sync_duration_seconds
network_programming_duration_seconds proxy_healthz_total proxy_livez_total
sync_full_proxy_rules_duration_seconds sync_partial_proxy_rules_duration_seconds
sync_proxy_rules_duration_seconds sync_proxy_rules_endpoint_changes_pending
sync_proxy_rules_endpoint_changes_total sync_proxy_rules_last_queued_timestamp_seconds
sync_proxy_rules_last_timestamp_seconds sync_proxy_rules_nftables_cleanup_failures_total
sync_proxy_rules_nftables_sync_failures_total sync_proxy_rules_no_local_endpoints_total
sync_proxy_rules_service_changes_pending sync_proxy_rules_service_changes_total`;

test("every series of kube-proxy in nftables mode is exported under its name", () => {
  const names = Object.values(kubeProxySeries)
    .map((series) => series.name)
    .filter((name) => name.startsWith("kubeproxy_"));
  const expected = KUBE_PROXY_NAMES.trim().split(/\s+/);
  assert.deepEqual(names.sort(), expected.map((name) => `kubeproxy_${name}`).sort());
});

test("histogram buckets are kube-proxy's", () => {
  const sync = kubeProxySeries.syncDuration.buckets;
  assert.deepEqual([sync.length, sync[0], sync[14]], [15, 0.001, 16.384]);
  const programming = kubeProxySeries.networkProgrammingDuration.buckets;
  assert.deepEqual(programming.slice(0, 4), [0.25, 0.5, 1, 2]);
  assert.deepEqual(programming.slice(59, 64), [58, 59, 60, 65, 70]);
  assert.deepEqual(programming.slice(-8), [115, 120, 150, 180, 210, 240, 270, 300]);
});

test("series are named by the rules: ours by prefix, counters by suffix, bounds ascending", () => {
  const own = Object.values(ownSeries);
  assert.ok(own.every((series) => series.name.startsWith("innermesh_")));
  const all = [...Object.values(kubeProxySeries), ...own, ...Object.values(healthSeries)];
  assert.equal(new Set(all.map((series) => series.name)).size, all.length);
  for (const series of all) {
    if (series.type === "counter") assert.match(series.name, /_total$/);
    if (series.type !== "histogram") continue;
    assert.deepEqual(
      series.buckets,
      [...series.buckets].sort((a, b) => a - b),
    );
  }
});

test("the page holds every series of the catalogue, and the process's own", async () => {
  const { page } = makeNodeMetrics();
  const text = await page.metrics();
  for (const { name, type } of [...Object.values(kubeProxySeries), ...Object.values(ownSeries)]) {
    assert.match(text, new RegExp(`^# TYPE ${name} ${type}$`, "m"));
  }
  assert.match(text, /^process_resident_memory_bytes \d+/m);
  assert.match(text, /^nodejs_eventloop_lag_seconds /m);
});

test("what is recorded is what is read", async () => {
  const metrics = makeNodeMetrics();
  metrics.serviceChanges.add(2);
  metrics.syncDuration.observe(0.003, { ip_family: "IPv6" });
  metrics.noLocalEndpoints.set(4, { ip_family: "IPv4", traffic_policy: "internal" });
  metrics.objects.set(7, { kind: "Service" });
  metrics.objects.clear();
  const text = await metrics.page.metrics();
  const name = "kubeproxy_sync_proxy_rules";
  assert.match(text, new RegExp(`^${name}_service_changes_total 2$`, "m"));
  assert.match(
    text,
    new RegExp(`^${name}_duration_seconds_bucket{le="0.004",ip_family="IPv6"} 1$`, "m"),
  );
  const labels = 'ip_family="IPv4",traffic_policy="internal"';
  assert.match(text, new RegExp(`^${name}_no_local_endpoints_total{${labels}} 4$`, "m"));
  assert.doesNotMatch(text, /^innermesh_objects\{/m);
});

test("two processes' worth of metrics do not share a registry", async () => {
  const [one, other] = [makeNodeMetrics(), makeNodeMetrics()];
  one.serviceChanges.add(5);
  assert.match(await other.page.metrics(), /_service_changes_total 0$/m);
});

test("the health page counts pings", async () => {
  const health = makeHealthMetrics();
  health.pinged();
  health.pinged();
  const text = await health.page.metrics();
  assert.match(text, /^kubernetes_healthcheck\{name="ping",type="healthz"\} 1$/m);
  assert.match(text, /^kubernetes_healthchecks_total\{.*status="success"\} 2$/m);
});

test("the document names each series once, and long bucket lists in short", () => {
  const document = formatMetricsTable();
  const all = [kubeProxySeries, ownSeries, healthSeries].flatMap((s) => Object.values(s));
  for (const { name } of all) assert.equal(document.split(`\`${name}\``).length, 2, name);
  const table = formatSeriesTable([
    gauge("a", { labels: ["x"], help: "One | two." }),
    histogram("b", { labels: [], buckets: [1, 2, 3, 4, 5], help: "Time." }),
  ]);
  assert.match(table, /^\| `a` \| gauge \| `x` \| One \\\| two\. \|$/m);
  assert.match(table, /Time\. Buckets: 1, 2, … 5 \(5\)\./);
});
