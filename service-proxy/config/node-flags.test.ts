import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parseNodeFlags } from "./node-flags.ts";
import { masqueradeMark, nodeNameOf } from "./node-settings.ts";
import { formatSettingProblem } from "./setting-problem.ts";

const HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const NODE_HEAD = "---\napiVersion: innermesh.io/v1alpha1\nkind: NodeConfiguration\n";

function parse(argv: readonly string[], file = "") {
  const { settings, warnings, errors } = parseNodeFlags(argv, () => file);
  return {
    settings,
    warnings: warnings.map(formatSettingProblem),
    errors: errors.map(formatSettingProblem),
  };
}

function flags(...argv: readonly string[]) {
  const { settings, warnings, errors } = parse(argv);
  assert.deepEqual([warnings, errors], [[], []]);
  return settings;
}

function file(body: string, ...argv: readonly string[]) {
  return parse(["--config", "p.yaml", ...argv], `${HEAD}${body}`);
}

const defaults = parse([]).settings;

test("without any flag the node runs with kube-proxy's defaults, but syncs after 10 ms", () => {
  assert.deepEqual(parse([]), {
    settings: {
      action: { kind: "run" },
      source: { kind: "kube" },
      proxyMode: "auto",
      nftBackend: "netlink",
      syncPeriodMs: 30_000,
      minSyncPeriodMs: 10,
      auditPeriodMs: 3_000,
      detectLocal: { kind: "ClusterCIDR", cidrs: [] },
      nodePortAddresses: { kind: "primary" },
      masqueradeAll: false,
      masqueradeBit: 14,
      healthzAddress: { host: "0.0.0.0", port: 10_256 },
      metricsAddress: { host: "127.0.0.1", port: 10_249 },
      bindAddressHardFail: false,
      proxy: {
        workers: 0,
        insidePort: 15_001,
        outsidePort: 15_002,
        fallback: "kernel",
        drainTimeoutMs: 600_000,
        accessLogShare: 0,
        via: false,
        adminSocket: "/run/innermesh/node.sock",
      },
      identity: {
        mode: "none",
        trustDomain: "cluster.local",
        authority: { kind: "service", service: "innermesh-system/innermesh-ca", port: 15_012 },
        tokenFile: "/var/run/secrets/innermesh-ca/token",
        lifetimeMs: 86_400_000,
        tunnelPort: 15_008,
        directPort: 15_003,
      },
      networkPolicy: "none",
      policyCanary: false,
      conntrack: {
        maxPerCore: 32_768,
        minEntries: 131_072,
        tcpEstablishedTimeoutMs: 86_400_000,
        tcpCloseWaitTimeoutMs: 3_600_000,
        tcpBeLiberal: false,
        udpTimeoutMs: 0,
        udpStreamTimeoutMs: 0,
      },
      oomScoreAdj: -999,
      log: { verbosity: 0, format: "text" },
    },
    warnings: [],
    errors: [],
  });
  assert.equal(masqueradeMark(defaults), 0x4000);
});

test("kubeadm's file means the defaults, without a single warning", () => {
  const text = readFileSync(`${import.meta.dirname}/testdata/kubeadm.yaml`, "utf8");
  const { settings, warnings, errors } = parse(["--config=/c.conf", "--v=2"], text);
  assert.deepEqual([warnings, errors], [[], []]);
  assert.deepEqual(settings, {
    ...defaults,
    configFilePath: "/c.conf",
    source: { kind: "kube", kubeconfigPath: "/var/lib/kube-proxy/kubeconfig.conf" },
    detectLocal: { kind: "ClusterCIDR", cidrs: ["10.244.0.0/16"] },
    log: { verbosity: 2, format: "text" },
  });
});

test("beside --config only some flags count, and a warning names the rest", () => {
  const { settings, warnings } = file(
    "hostnameOverride: from-file\nlogging: {verbosity: 1}\n",
    "--hostname-override=N1",
    "--master=https://m",
    "-v=5",
    "--cluster-cidr=10.0.0.0/8",
    "--masquerade-all",
    "--healthz-port=0",
    "--cleanup",
  );
  assert.equal(settings.nodeNameOverride, "n1");
  assert.deepEqual(settings.source, { kind: "kube", masterUrl: "https://m" });
  assert.equal(settings.log.verbosity, 5);
  assert.deepEqual(settings.action, { kind: "cleanup" });
  assert.deepEqual(settings.detectLocal, { kind: "ClusterCIDR", cidrs: [] });
  assert.equal(settings.masqueradeAll, false);
  assert.notEqual(settings.healthzAddress, undefined);
  assert.deepEqual(warnings, [
    "--cluster-cidr, --masquerade-all, --healthz-port: has no effect beside --config; " +
      "set clusterCIDR, iptables.masqueradeAll in the file",
  ]);
});

test("our own flags win over the NodeConfiguration beside the KubeProxyConfiguration", () => {
  const periods = "auditPeriod: 0\nminSyncPeriod: 1ms\n";
  const body = `${NODE_HEAD}source: dir:/a\nnftBackend: command\n${periods}`;
  const fromFile = file(body);
  assert.deepEqual([fromFile.warnings, fromFile.errors], [[], []]);
  assert.deepEqual(fromFile.settings.source, { kind: "directory", path: "/a" });
  assert.equal(fromFile.settings.nftBackend, "command");
  assert.equal(fromFile.settings.auditPeriodMs, 0);
  assert.equal(fromFile.settings.minSyncPeriodMs, 1);
  const { settings } = file(body, "--source=dir:/b", "--min-sync-period=2ms");
  assert.deepEqual(settings.source, { kind: "directory", path: "/b" });
  assert.equal(settings.minSyncPeriodMs, 2);
});

test("a file of only a NodeConfiguration will do", () => {
  const { settings, errors } = parse(["--config=n"], `${NODE_HEAD}source: dir:/a\n`);
  assert.deepEqual(errors, []);
  assert.deepEqual(settings.source, { kind: "directory", path: "/a" });
});

test("unknown fields only warn, with file, line and path", () => {
  const { warnings, errors } = file("iptables:\n  masqueradeAl: true\n");
  assert.deepEqual(errors, []);
  assert.deepEqual(warnings, [
    "p.yaml:4 iptables.masqueradeAl: is not a known field; it is ignored",
  ]);
});

test("unusable values are errors that name the place, the value and the way out", () => {
  const { errors } = file("oomScoreAdj: 2000\nconntrack:\n  udpTimeout: 30\nmode: foo\n");
  assert.deepEqual(errors.sort(), [
    "p.yaml:3 oomScoreAdj: 2000 is out of range; use -1000 to 1000",
    "p.yaml:5 conntrack.udpTimeout: 30 is not a duration; write it like 10ms, 30s or 1h30m",
    'p.yaml:6 mode: "foo" is not known; use auto, kernel, userspace, nftables, iptables or ipvs',
  ]);
});

test("an unreadable file is an error, not a crash", () => {
  const { errors } = parseNodeFlags(["--config=x"], () => {
    throw new Error("ENOENT");
  });
  assert.deepEqual(errors.map(formatSettingProblem), ["--config: cannot read x: ENOENT"]);
});

for (const mode of ["nftables", "iptables", "ipvs"]) {
  test(`mode ${mode} means auto, with one warning`, () => {
    const { settings, warnings, errors } = parse([`--proxy-mode=${mode}`]);
    assert.equal(settings.proxyMode, "auto");
    assert.deepEqual(errors, []);
    assert.equal(warnings.length, 1);
    assert.match(warnings.join(), new RegExp(`^--proxy-mode: ${mode} means auto here`));
  });
}

test("modes kernel and userspace are taken as they are", () => {
  assert.equal(flags("--proxy-mode=kernel").proxyMode, "kernel");
  assert.equal(flags("--proxy-mode=userspace").proxyMode, "userspace");
});

test("identities need a trust domain, a lifetime and an authority that can be", () => {
  const { identity } = flags("--identity=strict", "--certificate-authority=dir:/etc/ca");
  assert.deepEqual(
    [identity.mode, identity.authority],
    ["strict", { kind: "directory", path: "/etc/ca" }],
  );
  assert.match(
    parse(["--trust-domain=Cluster.Local"]).errors[0] ?? "",
    /"Cluster.Local" is no trust domain/,
  );
  assert.match(parse(["--certificate-lifetime=5m"]).errors[0] ?? "", /use 10m to 168h/);
  assert.match(parse(["--certificate-authority=ca.example"]).errors[0] ?? "", /names no authority/);
});

test("proxy workers need two doors, and a share of requests to log", () => {
  assert.deepEqual(parse(["--proxy-inside-port=15002"]).errors, [
    "--proxy-outside-port: 15002 is the inside port as well; choose another",
  ]);
  assert.deepEqual(parse(["--access-log-share=1.5"]).errors, [
    "--access-log-share: 1.5 is no share; use 0 to 1",
  ]);
  const { proxy } = flags("--admin-socket=", "--proxy-workers=3", "--proxy-fallback=refuse");
  assert.deepEqual([proxy.adminSocket, proxy.workers, proxy.fallback], [undefined, 3, "refuse"]);
});

test("a minimum sync period beyond the sync period is refused", () => {
  const { errors } = parse(["--iptables-sync-period=1s", "--iptables-min-sync-period=2s"]);
  assert.match(errors.join(), /^--min-sync-period: 2s is longer than the sync period of 1s/);
});

test("kube-proxy's sections: the configured mode's wins, another fills in, zero is not set", () => {
  const both = "iptables: {minSyncPeriod: 1s, masqueradeBit: 5}\nnftables: {minSyncPeriod: 2s}\n";
  const minimum = (body: string) => file(body).settings.minSyncPeriodMs;
  assert.equal(minimum(both), 1_000);
  assert.equal(minimum(`${both}mode: iptables\n`), 1_000);
  assert.equal(minimum(`${both}mode: nftables\n`), 2_000);
  assert.equal(minimum(`${both}mode: auto\n`), 2_000);
  assert.equal(minimum(`${both}mode: ipvs\nipvs: {minSyncPeriod: 3s}\n`), 3_000);
  assert.equal(minimum(`${both}ipvs: {minSyncPeriod: 3s}\n`), 1_000);
  assert.equal(minimum("iptables: {minSyncPeriod: 0s}\n"), 10);
  assert.equal(file(`${both}mode: nftables\n`).settings.masqueradeBit, 5);
  assert.equal(flags("--iptables-min-sync-period=0").minSyncPeriodMs, 0);
});

test("the four ways to know local traffic each take what they need", () => {
  assert.deepEqual(flags("--cluster-cidr=10.1.2.3/16,fd00::/8").detectLocal, {
    kind: "ClusterCIDR",
    cidrs: ["10.1.0.0/16", "fd00::/8"],
  });
  assert.deepEqual(flags("--detect-local-mode=NodeCIDR").detectLocal, { kind: "NodeCIDR" });
  const bridge = ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"];
  assert.deepEqual(flags(...bridge).detectLocal, {
    kind: "BridgeInterface",
    interfaceName: "cni0",
  });
  const prefix = ["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth"];
  assert.deepEqual(flags(...prefix).detectLocal, { kind: "InterfaceNamePrefix", prefix: "veth" });
  assert.match(
    parse(["--detect-local-mode=BridgeInterface"]).errors.join(),
    /pod-bridge-interface/,
  );
  assert.match(parse(["--cluster-cidr=10.0.0.0/8,11.0.0.0/8"]).errors.join(), /one per family/);
});

test("NodePort addresses are primary, or prefixes, never both", () => {
  const { nodePortAddresses } = flags(
    "--nodeport-addresses=192.0.2.0/24",
    "--nodeport-addresses=::/0",
  );
  assert.deepEqual(nodePortAddresses, { kind: "cidrs", cidrs: ["192.0.2.0/24", "::/0"] });
  const all = flags("--nodeport-addresses=all").nodePortAddresses;
  assert.deepEqual(all, { kind: "cidrs", cidrs: ["0.0.0.0/0", "::/0"] });
  const mixed = file("nodePortAddresses: [primary, 10.0.0.0/8]\n");
  assert.match(mixed.errors.join(), /^p\.yaml:3 nodePortAddresses: .* mixes primary/);
});

test("a family that the NodePort list leaves out is told to be open", () => {
  assert.deepEqual(parse(["--nodeport-addresses=192.0.2.0/24"]).warnings, [
    "--nodeport-addresses: names no IPv6 prefix, so NodePorts answer on every IPv6 address",
  ]);
});

test("a wish for NodePorts on loopback is declined with the reason", () => {
  const { warnings, errors } = file("iptables: {localhostNodePorts: true}\n");
  assert.deepEqual(errors, []);
  assert.match(warnings.join(), /^p\.yaml:3 iptables\.localhostNodePorts: has no effect: .*127/);
  assert.deepEqual(file("iptables: {localhostNodePorts: false}\n").warnings, []);
  const { warnings: listed } = parse(["--nodeport-addresses=localhost,10.0.0.0/8"]);
  assert.match(listed.join(), /names loopback/);
});

test("IPVS and Windows settings are taken, with one warning for each kind", () => {
  const { warnings, errors } = parse([
    "--ipvs-scheduler",
    "rr",
    "--ipvs-strict-arp",
    "--ipvs-tcp-timeout=5s",
    "--enable-dsr",
    "--source-vip=10.0.0.1",
    "--windows-service=false",
  ]);
  assert.deepEqual(errors, []);
  assert.deepEqual(warnings, [
    "--ipvs-scheduler, --ipvs-strict-arp, --ipvs-tcp-timeout: has no effect: there is no IPVS " +
      "mode; remove it",
    "--source-vip, --enable-dsr: has no effect: it is for kube-proxy on Windows; remove it",
  ]);
});

test("feature gates are read and warned about", () => {
  assert.match(
    parse(["--feature-gates=A=true,B=false"]).warnings.join(),
    /^--feature-gates: has no/,
  );
  assert.match(parse(["--feature-gates=A=maybe"]).errors.join(), /Name=true or Name=false/);
  assert.match(file("featureGates: {A: true}\n").warnings.join(), /^p\.yaml:3 featureGates/);
});

test("servers: an address may name no port, and an empty flag turns them off", () => {
  assert.deepEqual(flags("--healthz-bind-address=::1").healthzAddress, {
    host: "::1",
    port: 10_256,
  });
  assert.deepEqual(flags("--metrics-bind-address=[::]:1").metricsAddress, { host: "::", port: 1 });
  assert.equal(flags("--healthz-bind-address=").healthzAddress, undefined);
  assert.equal(flags("--metrics-bind-address", "").metricsAddress, undefined);
  assert.notEqual(file('metricsBindAddress: ""\n').settings.metricsAddress, undefined);
  assert.match(parse(["--healthz-bind-address=1.2.3.4:0"]).errors.join(), /write 0\.0\.0\.0:10256/);
  assert.match(parse(["--healthz-bind-address=host:1"]).errors.join(), /is not an address/);
});

test("an IPv6 bind address moves the servers' defaults and overrides the node's address", () => {
  const { nodeAddressOverride, healthzAddress, metricsAddress } = flags("--bind-address=fd00::1");
  assert.equal(nodeAddressOverride, "fd00::1");
  assert.deepEqual(healthzAddress, { host: "::", port: 10_256 });
  assert.deepEqual(metricsAddress, { host: "::1", port: 10_249 });
  assert.equal(flags("--bind-address=0.0.0.0").nodeAddressOverride, undefined);
});

test("the deprecated port flags: 0 disables, another value only fills in, both warn", () => {
  const off = parse(["--healthz-port=0", "--metrics-port=0"]);
  assert.deepEqual(
    [off.settings.healthzAddress, off.settings.metricsAddress],
    [undefined, undefined],
  );
  assert.equal(off.warnings.length, 2);
  assert.equal(parse(["--healthz-port=5"]).settings.healthzAddress?.port, 10_256);
  const filled = parse(["--healthz-port=5", "--healthz-bind-address=1.2.3.4"]);
  assert.deepEqual(filled.settings.healthzAddress, { host: "1.2.3.4", port: 5 });
});

test("mark bits that lanes use are refused for masquerading", () => {
  assert.equal(flags("--iptables-masquerade-bit=0x1f").masqueradeBit, 31);
  assert.equal(masqueradeMark(flags("--iptables-masquerade-bit=31")), 0x8000_0000);
  assert.match(parse(["--iptables-masquerade-bit=12"]).errors.join(), /bit 12 belongs to another/);
  assert.match(parse(["--iptables-masquerade-bit=32"]).errors.join(), /use 0 to 31/);
});

test("the node's name is trimmed and lower-cased, and may not be blank", () => {
  assert.equal(nodeNameOf(flags("--hostname-override= Node-A "), "x"), "node-a");
  assert.equal(nodeNameOf(defaults, " HOST\n"), "host");
  assert.match(parse(["--hostname-override=  "]).errors.join(), /^--hostname-override: is blank/);
});

const actions: readonly (readonly [string, unknown])[] = [
  ["--version", { kind: "version" }],
  ["--version=raw", { kind: "version" }],
  ["-h", { kind: "help" }],
  ["--cleanup", { kind: "cleanup" }],
  ["--cleanup=false", { kind: "run" }],
  ["--init-only", { kind: "init-only" }],
  ["--write-config-to=/x", { kind: "write-config", path: "/x" }],
];
for (const [flag, action] of actions) {
  test(`${flag} asks for ${JSON.stringify(action)}`, () => {
    assert.deepEqual(flags(flag).action, action);
  });
}

test("a bad source is refused with both forms named", () => {
  assert.deepEqual(parse(["--source=dir:"]).errors, [
    '--source: "dir:" is not a source; use kube or dir:PATH',
  ]);
});
