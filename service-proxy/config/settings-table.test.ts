import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFlagHelp, formatSettingsTable } from "./settings-document.ts";
import { allSettings, settingGroups } from "./settings-table.ts";

/** Flags of kube-proxy 1.36 on Linux and Windows, in dictionary order. */
const KUBE_PROXY_FLAGS = `
bind-address bind-address-hard-fail boot-id-file cleanup cluster-cidr config config-sync-period
conntrack-max-per-core conntrack-min conntrack-tcp-be-liberal conntrack-tcp-timeout-close-wait
conntrack-tcp-timeout-established conntrack-udp-timeout conntrack-udp-timeout-stream
detect-local-mode enable-dsr feature-gates forward-healthcheck-vip healthz-bind-address
healthz-port help hostname-override init-only iptables-localhost-nodeports iptables-masquerade-bit
iptables-min-sync-period iptables-sync-period ipvs-exclude-cidrs ipvs-min-sync-period
ipvs-scheduler ipvs-strict-arp ipvs-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout
ipvs-udp-timeout kube-api-burst kube-api-content-type kube-api-qps kubeconfig
log-flush-frequency log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size
log-text-split-stream logging-format machine-id-file masquerade-all master metrics-bind-address
metrics-port network-name nodeport-addresses oom-score-adj pod-bridge-interface
pod-interface-name-prefix profiling proxy-mode root-hnsendpoint-name
show-hidden-metrics-for-version source-vip v version vmodule windows-service write-config-to`;

const OWN_FLAGS = [
  "access-log-share",
  "admin-socket",
  "audit-period",
  "certificate-authority",
  "certificate-authority-token",
  "certificate-lifetime",
  "direct-port",
  "identity",
  "min-sync-period",
  "network-policy",
  "nft-backend",
  "policy-canary",
  "proxy-drain-timeout",
  "proxy-fallback",
  "proxy-inside-port",
  "proxy-outside-port",
  "proxy-via",
  "proxy-workers",
  "source",
  "sync-period",
  "trust-domain",
  "tunnel-port",
];

test("every flag of kube-proxy is known, and ours are the only others", () => {
  const flags = allSettings.map((setting) => setting.flag).filter((flag) => flag !== undefined);
  const expected = [...KUBE_PROXY_FLAGS.trim().split(/\s+/), ...OWN_FLAGS];
  assert.deepEqual(flags.sort(), expected.sort());
});

test("no flag and no field stands for two settings", () => {
  for (const key of ["flag", "field", "nodeField"] as const) {
    const names = allSettings.map((setting) => setting[key]).filter((name) => name !== undefined);
    assert.equal(new Set(names).size, names.length, key);
  }
});

test("every setting stands in exactly one group", () => {
  const grouped = settingGroups.flatMap((group) => group.settings);
  assert.equal(grouped.length, allSettings.length);
  assert.deepEqual(new Set(grouped), new Set(allSettings));
});

test("every setting can be given, and says what it is for", () => {
  for (const { flag, field, nodeField, help } of allSettings) {
    assert.ok(flag ?? field ?? nodeField);
    assert.match(help, /\.$/);
  }
});

test("defaults read back from their own text", () => {
  for (const { type, default: value } of allSettings) {
    assert.deepEqual(type.fromFlag([type.format(value)]), { ok: true, value });
  }
});

test("the help lists every flag and fits a terminal of 100 columns", () => {
  const help = formatFlagHelp();
  for (const { flag } of allSettings) {
    if (flag !== undefined) assert.match(help, new RegExp(`^  --?${flag}\\b`, "m"));
  }
  assert.ok(help.split("\n").every((line) => line.length <= 100));
});

test("the document has one row for each setting, and no cell breaks out of its table", () => {
  const rows = formatSettingsTable()
    .split("\n")
    .filter(
      (line) => line.startsWith("| ") && !line.startsWith("| Flag") && !line.startsWith("| ---"),
    );
  assert.equal(rows.length, allSettings.length);
  for (const row of rows) assert.equal(row.replaceAll("\\|", "").split("|").length, 8, row);
});
