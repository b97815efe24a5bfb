import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Arbitrary,
  boolean,
  assert as check,
  constantFrom,
  integer,
  nat,
  property,
  record,
} from "fast-check";
import { toKubeProxyConfiguration } from "./kube-proxy-configuration.ts";
import { formatConfigurationFile, toNodeConfiguration } from "./node-configuration.ts";
import { parseNodeFlags } from "./node-flags.ts";
import type { NodeSettings } from "./node-settings.ts";
import { settingsByField, settingsByNodeField } from "./settings-table.ts";

const { settings: defaults } = parseNodeFlags([], () => "");

function pathsOf(value: object, known: ReadonlyMap<string, unknown>, prefix = ""): string[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    const path = `${prefix}${name}`;
    const isSection = typeof inner === "object" && inner !== null && !Array.isArray(inner);
    return isSection && !known.has(path) ? pathsOf(inner, known, `${path}.`) : [path];
  });
}

test("/configz shows every field that the file may have, and no other", () => {
  const shown = pathsOf(toKubeProxyConfiguration(defaults), settingsByField);
  const expected = ["apiVersion", "kind", ...settingsByField.keys()];
  assert.deepEqual(shown.sort(), expected.sort());
});

test("the NodeConfiguration written has every field that may be read, and no other", () => {
  const shown = pathsOf(toNodeConfiguration(defaults), settingsByNodeField);
  const expected = ["apiVersion", "kind", ...settingsByNodeField.keys()];
  assert.deepEqual(shown.sort(), expected.sort());
});

test("/configz is in kube-proxy's words", () => {
  const shown = toKubeProxyConfiguration(defaults);
  assert.equal(shown.mode, "nftables");
  assert.equal(shown.conntrack.tcpEstablishedTimeout, "24h0m0s");
  assert.deepEqual(shown.nftables, {
    masqueradeBit: 14,
    masqueradeAll: false,
    syncPeriod: "30s",
    minSyncPeriod: "10ms",
  });
});

/** A record like those that JSON gives. */
function plain<T>(fields: { [K in keyof T]: Arbitrary<T[K]> }) {
  return record(fields, { noNullPrototype: true });
}

const anySettings = record<Partial<NodeSettings>>({
  proxyMode: constantFrom("auto", "kernel", "userspace"),
  nftBackend: constantFrom("netlink", "command"),
  source: constantFrom<NodeSettings["source"]>(
    { kind: "kube" },
    { kind: "kube", kubeconfigPath: "/etc/k: x" },
    { kind: "directory", path: "/srv/objects" },
  ),
  nodeNameOverride: constantFrom("a", "0"),
  nodeAddressOverride: constantFrom("192.0.2.1", "fd00::1"),
  syncPeriodMs: integer({ min: 1_000, max: 1e9 }),
  minSyncPeriodMs: integer({ min: 0, max: 1_000 }),
  auditPeriodMs: nat(),
  detectLocal: constantFrom<NodeSettings["detectLocal"]>(
    { kind: "ClusterCIDR", cidrs: ["10.0.0.0/8", "fd00::/8"] },
    { kind: "NodeCIDR" },
    { kind: "BridgeInterface", interfaceName: "cni0" },
    { kind: "InterfaceNamePrefix", prefix: "veth" },
  ),
  nodePortAddresses: constantFrom<NodeSettings["nodePortAddresses"]>(
    { kind: "primary" },
    { kind: "cidrs", cidrs: ["192.0.2.0/24", "::/0"] },
  ),
  masqueradeAll: boolean(),
  networkPolicy: constantFrom("none", "enforce"),
  policyCanary: boolean(),
  identity: constantFrom<NodeSettings["identity"]>(
    defaults.identity,
    { ...defaults.identity, mode: "off" },
    { ...defaults.identity, mode: "strict" },
  ),
  masqueradeBit: constantFrom(0, 14, 31),
  healthzAddress: constantFrom({ host: "::", port: 1 }, { host: "192.0.2.1", port: 65_535 }),
  bindAddressHardFail: boolean(),
  oomScoreAdj: integer({ min: -1_000, max: 1_000 }),
  conntrack: plain({
    maxPerCore: nat(),
    minEntries: nat(),
    tcpEstablishedTimeoutMs: nat(),
    tcpCloseWaitTimeoutMs: nat(),
    tcpBeLiberal: boolean(),
    udpTimeoutMs: nat(),
    udpStreamTimeoutMs: nat(),
  }),
  log: plain({ verbosity: nat(), format: constantFrom("text", "json") }),
});

test("what --write-config-to writes reads back as the same settings, without a warning", () => {
  check(
    property(anySettings, (some) => {
      const settings: NodeSettings = { ...defaults, ...some };
      const written = formatConfigurationFile(settings);
      const read = parseNodeFlags(["--config=f"], () => written);
      assert.deepEqual([read.warnings, read.errors], [[], []]);
      // A directory source needs no kubeconfig, and none is written.
      assert.deepEqual(read.settings, { ...settings, configFilePath: "f" });
    }),
  );
});
