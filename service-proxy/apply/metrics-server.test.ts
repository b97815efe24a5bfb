import assert from "node:assert/strict";
import { test } from "node:test";
import { makeHealthMetrics, makeNodeMetrics } from "../../lib/metrics/node-metrics.ts";
import { toKubeProxyConfiguration } from "../config/kube-proxy-configuration.ts";
import { parseNodeFlags } from "../config/node-flags.ts";
import { listenHttp } from "./http-listener.ts";
import { makeMetricsHandler } from "./metrics-server.ts";

const { settings } = parseNodeFlags([], () => "");

async function ask(...paths: readonly string[]) {
  const health = makeHealthMetrics();
  const handler = makeMetricsHandler({
    metrics: makeNodeMetrics().page,
    slis: health.page,
    onPing: health.pinged,
    configuration: () => toKubeProxyConfiguration(settings),
  });
  const listener = await listenHttp({ host: "127.0.0.1", port: 0 }, handler);
  const answers = [];
  for (const path of paths) {
    const response = await fetch(`http://127.0.0.1:${listener.address.port}${path}`);
    const type = response.headers.get("content-type");
    answers.push({ status: response.status, type, text: await response.text() });
  }
  await listener.close();
  return answers;
}

test("/proxyMode says nftables, without a newline", async () => {
  const [answer] = await ask("/proxyMode");
  assert.deepEqual(answer, {
    status: 200,
    type: "text/plain; charset=utf-8",
    text: "nftables",
  });
});

test("/metrics is Prometheus' text with kube-proxy's series", async () => {
  const [answer] = await ask("/metrics");
  assert.equal(answer?.type, "text/plain; version=0.0.4; charset=utf-8");
  assert.match(answer?.text ?? "", /^kubeproxy_sync_proxy_rules_service_changes_total 0$/m);
});

test("/configz shows the settings in force under kube-proxy's key", async () => {
  const [answer] = await ask("/configz");
  assert.equal(answer?.type, "application/json");
  const configuration = JSON.parse(answer?.text ?? "")["kubeproxy.config.k8s.io"];
  assert.equal(configuration.kind, "KubeProxyConfiguration");
  assert.equal(configuration.mode, "nftables");
  assert.deepEqual(configuration, toKubeProxyConfiguration(settings));
});

test("/healthz is a ping, and /metrics/slis counts it", async () => {
  const [ping, slis] = await ask("/healthz", "/metrics/slis");
  assert.deepEqual([ping?.status, ping?.text], [200, "ok"]);
  assert.match(slis?.text ?? "", /^kubernetes_healthchecks_total\{name="ping".*\} 1$/m);
});

test("any other path is 404", async () => {
  const answers = await ask("/", "/debug/pprof/", "/metrics/");
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [404, 404, 404],
  );
});
