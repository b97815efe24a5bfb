// A healthy node's facts, and for every check what turns it red: the same facts with one thing
// changed.

import assert from "node:assert/strict";
import type { Node } from "../../lib/kube/api/node.ts";
import { parseNodeFlags } from "../../service-proxy/config/node-flags.ts";
import type { NodeSettings } from "../../service-proxy/config/node-settings.ts";
import {
  type AgentFacts,
  type BridgeFacts,
  type ClusterFacts,
  type ClusterObjects,
  type Facts,
  type HostFacts,
  type InterfaceFacts,
  type KernelFacts,
  known,
  type RivalFacts,
  unknown,
} from "./facts.ts";
import { GREEN_IDENTITY } from "./sample-identities.ts";
import type { Status } from "./verdict.ts";

const NODE: Node = {
  kind: "Node",
  name: "node-1",
  uid: "1",
  resourceVersion: "1",
  labels: {},
  addresses: [{ type: "InternalIP", address: "192.0.2.11" }],
  podCIDRs: ["10.71.1.0/24", "fd71:0:0:1::/64"],
  taintKeys: [],
  deleting: false,
};

const OBJECTS: ClusterObjects = {
  node: NODE,
  serviceCount: 3,
  routeCount: 1,
  laneServices: ["shop/cart"],
  families: new Set(["ip", "ip6"]),
  sctpServices: [],
  nodePorts: [30_080],
  problems: [],
};

function settings(...flags: readonly string[]): NodeSettings {
  const parsed = parseNodeFlags(["--detect-local-mode=NodeCIDR", ...flags], () => assert.fail());
  assert.deepEqual(parsed.errors, []);
  return parsed.settings;
}

function conf(name: string, more: Partial<InterfaceFacts> = {}): InterfaceFacts {
  return { name, rpFilter: 0, routeLocalnet: false, srcValidMark: false, ...more };
}

/** A node on which all is well. */
export const GREEN: Facts = {
  pre: false,
  settings: settings(),
  nodeName: "node-1",
  kernel: {
    release: "6.18.44-generic",
    generation: known(7),
    refused: known([]),
    refusedLane: known([]),
    nftVersion: known("1.0.9"),
    capabilities: known(0x1fffn),
    tracksSctp: known(true),
  },
  host: {
    addresses: known(["127.0.0.1", "192.0.2.11"]),
    ipForward: known(true),
    ip6Forward: known(true),
    interfaces: known([conf("all"), conf("default"), conf("lo"), conf("eth0")]),
    bridges: known([]),
    bridgeCallsIptables: known(undefined),
    conntrack: known({ entries: 10, limit: 1000 }),
    tcpBeLiberal: known(true),
    limitsToSet: known([]),
    ephemeralPorts: known({ first: 32_768, last: 60_999, reserved: [] }),
    dropPolicies: known([]),
  },
  lane: {
    missingRoutes: known([]),
    hasLiftLinks: known(true),
    migratesRequests: known(true),
    takenPorts: known([15_001, 15_002]),
    adminSocket: known(undefined),
  },
  rivals: { rules: known([]), processes: known([]) },
  cluster: {
    source: "api",
    version: known("v1.36.3"),
    clockSkewMs: known(200),
    resources: known(
      new Set(["discovery.k8s.io/v1 endpointslices", "networking.k8s.io/v1 servicecidrs"]),
    ),
    denied: known([]),
    gatewayApi: known({ version: "v1.6.3", channel: "experimental" }),
    objects: known(OBJECTS),
  },
  agent: {
    healthz: known({ status: 200, body: "{}" }),
    livez: known({ status: 200, body: "{}" }),
    proxyMode: known({ status: 200, body: "nftables" }),
    metricsAreOurs: known(true),
    proxyWorkers: known(2),
    tables: known([
      { family: "ip", state: [] },
      { family: "ip6", state: [] },
    ]),
  },
  identity: GREEN_IDENTITY,
  policy: {
    engines: known([]),
    tunnelBlocks: known([]),
    watchedBridges: known({ ip: true, ip6: true }),
    count: known(0),
    missingTables: known([]),
    lacking: known([]),
    logRefusal: known(undefined),
  },
};

export const flags = (...given: string[]): Facts => ({ ...GREEN, settings: settings(...given) });
export const kernel = (more: Partial<KernelFacts>): Facts => ({
  ...GREEN,
  kernel: { ...GREEN.kernel, ...more },
});
export const host = (more: Partial<HostFacts>, from = GREEN): Facts => ({
  ...from,
  host: { ...from.host, ...more },
});
const rivals = (more: Partial<RivalFacts>): Facts => ({
  ...GREEN,
  rivals: { ...GREEN.rivals, ...more },
});
export const cluster = (more: Partial<ClusterFacts>, from = GREEN): Facts => ({
  ...from,
  cluster: { ...from.cluster, ...more },
});
export const objects = (more: Partial<ClusterObjects>, from = GREEN): Facts =>
  cluster({ objects: known({ ...OBJECTS, ...more }) }, from);
export const agent = (more: Partial<AgentFacts>, from = GREEN): Facts => ({
  ...from,
  agent: { ...from.agent, ...more },
});
export const bridge = (name: string, ...addresses: string[]): BridgeFacts => ({
  name,
  addresses,
  veths: ["veth1"],
});
export const problem = {
  object: "Service default/web",
  field: "spec.externalIPs",
  message: "taken",
};

export interface RedCase {
  readonly id: string;
  /** What was changed. */
  readonly when: string;
  readonly facts: Facts;
  readonly status: Status;
  readonly says?: RegExp;
}

/** One case; the story is how people would put it. */
export function when(
  id: string,
  story: string,
  facts: Facts,
  status: Status,
  says?: RegExp,
): RedCase {
  return { id, when: story, facts, status, ...(says === undefined ? {} : { says }) };
}

export const RED_CASES: readonly RedCase[] = [
  when("kernel.version", "Linux is too old", kernel({ release: "5.10.0-1" }), "fail", /5\.13/),
  when("kernel.version", "Linux is just right", kernel({ release: "5.13.0" }), "ok"),
  when("kernel.version", "the release is no version", kernel({ release: "odd" }), "skip"),
  when("kernel.nf-tables", "nf_tables says no", kernel({ generation: unknown("EPERM") }), "fail"),
  when(
    "kernel.ruleset",
    "a part is refused",
    kernel({ refused: known([{ family: "ip6", part: "fib", why: "ENOENT" }]) }),
    "fail",
    /fib \(ip6\): ENOENT/,
  ),
  when(
    "kernel.nft-program",
    "nft is the backend and missing",
    {
      ...flags("--nft-backend=command"),
      kernel: { ...GREEN.kernel, nftVersion: known(undefined) },
    },
    "fail",
  ),
  when("kernel.nft-program", "nft is missing", kernel({ nftVersion: known(undefined) }), "warn"),
  when("kernel.nft-program", "nft is too old", kernel({ nftVersion: known("1.0.0") }), "warn"),
  when(
    "kernel.nft-program",
    "nft 1.0.6 is there to look only",
    kernel({ nftVersion: known("1.0.6") }),
    "ok",
    /cannot load IPv6 session affinity/,
  ),
  when(
    "kernel.sctp",
    "a Service uses SCTP on a kernel without",
    {
      ...objects({ sctpServices: ["a/b"] }),
      kernel: { ...GREEN.kernel, tracksSctp: known(false) },
    },
    "fail",
    /a\/b/,
  ),
  when("kernel.sctp", "a Service uses SCTP", objects({ sctpServices: ["a/b"] }), "ok"),
  when("privileges.net-admin", "the bit is off", kernel({ capabilities: known(0x0fffn) }), "fail"),

  when("node.name", "there is no such Node", objects({ node: undefined }), "fail", /node-1/),
  when("node.address", "the Node is elsewhere", host({ addresses: known(["::1"]) }), "fail"),
  when("node.address", "there is no such Node", objects({ node: undefined }), "skip"),
  when(
    "node.detect-local",
    "NodeCIDR has no podCIDR of a family in use",
    objects({ node: { ...NODE, podCIDRs: ["10.71.1.0/24"] } }),
    "fail",
    /ip6/,
  ),
  when(
    "node.detect-local",
    "ClusterCIDR has no prefix",
    flags("--detect-local-mode=ClusterCIDR"),
    "warn",
    /--cluster-cidr/,
  ),
  when(
    "node.detect-local",
    "the bridge is missing",
    flags("--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cbr0"),
    "fail",
    /cbr0/,
  ),
  when(
    "node.detect-local",
    "no interface has the prefix",
    flags("--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=cali"),
    "warn",
    /cali/,
  ),
  when("node.ipv4-forwarding", "it is off", host({ ipForward: known(false) }), "fail"),
  when("node.ipv6-forwarding", "it is off", host({ ip6Forward: known(false) }), "fail"),
  when(
    "node.ipv6-forwarding",
    "it is off in a cluster of IPv4",
    objects({ families: new Set(["ip"]) }, host({ ip6Forward: known(false) })),
    "skip",
  ),
  when(
    "node.bridge-netfilter",
    "pods hang on a bridge and br_netfilter is missing",
    host({ bridges: known([bridge("cni0")]) }),
    "fail",
    /cni0/,
  ),
  when(
    "node.bridge-netfilter",
    "a bridge holds the node's pod CIDR and the switch is 0",
    host({
      bridges: known([bridge("br7", "10.71.1.1")]),
      bridgeCallsIptables: known(false),
    }),
    "fail",
    /bridge-nf-call-iptables is 0/,
  ),
  when(
    "node.bridge-netfilter",
    "only containers of another kind hang on it",
    host({ bridges: known([bridge("docker0", "172.17.0.1")]) }),
    "warn",
  ),
  when(
    "node.bridge-netfilter",
    "the switch is 1",
    host({ bridges: known([bridge("cni0")]), bridgeCallsIptables: known(true) }),
    "ok",
  ),
  when(
    "node.rp-filter",
    "an interface is strict",
    host({ interfaces: known([conf("all"), conf("eth0", { rpFilter: 1, srcValidMark: true })]) }),
    "warn",
    /eth0.*src_valid_mark/,
  ),
  when(
    "node.rp-filter",
    "all is loose, which wins over a strict interface",
    host({ interfaces: known([conf("all", { rpFilter: 2 }), conf("eth0", { rpFilter: 1 })]) }),
    "ok",
  ),
  when(
    "node.route-localnet",
    "it is on everywhere, as kube-proxy leaves it",
    host({ interfaces: known([conf("all", { routeLocalnet: true })]) }),
    "fail",
  ),
  when(
    "node.route-localnet",
    "it is on for one interface",
    host({ interfaces: known([conf("all"), conf("cni0", { routeLocalnet: true })]) }),
    "warn",
    /cni0/,
  ),
  when(
    "node.foreign-drops",
    "another table drops by policy",
    host({ dropPolicies: known([{ table: "inet f", chain: "fwd", hook: "forward" }]) }),
    "warn",
    /inet f fwd/,
  ),

  when(
    "node.conntrack-table",
    "it is full",
    host({ conntrack: known({ entries: 960, limit: 1000 }) }),
    "fail",
    /96 %/,
  ),
  when(
    "node.conntrack-table",
    "it fills",
    host({ conntrack: known({ entries: 800, limit: 1000 }) }),
    "warn",
  ),
  when(
    "node.conntrack-limits",
    "one is not as asked",
    host({ limitsToSet: known(["tcpCloseWait: 60 → 3600"]) }),
    "warn",
    /tcpCloseWait/,
  ),
  when(
    "node.conntrack-limits",
    "one is not as asked before an install",
    { ...host({ limitsToSet: known(["tcpCloseWait: 60 → 3600"]) }), pre: true },
    "ok",
  ),
  when(
    "node.tcp-be-liberal",
    "it is off and asked for",
    host({ tcpBeLiberal: known(false) }, flags("--conntrack-tcp-be-liberal")),
    "warn",
  ),
  when("node.tcp-be-liberal", "it is off", host({ tcpBeLiberal: known(false) }), "ok"),
  when(
    "node.port-range",
    "source ports overlap NodePorts",
    host({ ephemeralPorts: known({ first: 10_000, last: 60_999, reserved: [] }) }),
    "warn",
    /30080 among those in use/,
  ),
  when(
    "node.port-range",
    "NodePorts are reserved",
    host({ ephemeralPorts: known({ first: 1024, last: 60_999, reserved: [[30_000, 32_767]] }) }),
    "ok",
  ),

  when("cluster.source", "nothing answers", cluster({ objects: unknown("refused") }), "fail"),
  when("cluster.version", "it is old", cluster({ version: known("v1.30.9") }), "warn"),
  when("cluster.version", "a directory is read", cluster({ source: "directory" }), "skip"),
  when("cluster.clock-skew", "a day apart", cluster({ clockSkewMs: known(86_400_000) }), "fail"),
  when(
    "cluster.clock-skew",
    "seconds apart",
    cluster({ clockSkewMs: known(-9_000) }),
    "warn",
    /9 s behind/,
  ),
  when("cluster.endpoint-slices", "not served", cluster({ resources: known(new Set()) }), "fail"),
  when("cluster.service-cidrs", "not served", cluster({ resources: known(new Set()) }), "warn"),
  when(
    "cluster.access",
    "a needed verb is denied",
    cluster({ denied: known([{ access: "watch services", needed: true }]) }),
    "fail",
    /watch services/,
  ),
  when(
    "cluster.access",
    "events are denied",
    cluster({ denied: known([{ access: "create events", needed: false }]) }),
    "warn",
  ),
  when(
    "cluster.services",
    "one has a problem",
    objects({ problems: [problem] }),
    "warn",
    /default\/web/,
  ),

  when(
    "kube-proxy.rules",
    "some are there",
    rivals({ rules: known(["nft table ip kube-proxy"]) }),
    "fail",
  ),
  when(
    "kube-proxy.rules",
    "some are there before an install",
    { ...rivals({ rules: known(["nft table ip kube-proxy"]) }), pre: true },
    "ok",
    /taken over/,
  ),
  when("kube-proxy.process", "it runs", rivals({ processes: known([4711]) }), "fail", /4711/),
  when(
    "kube-proxy.process",
    "it runs before an install",
    { ...rivals({ processes: known([1]) }), pre: true },
    "ok",
  ),
  when("agent.owner", "nobody answers", agent({ metricsAreOurs: unknown("ECONNREFUSED") }), "fail"),
  when("agent.owner", "somebody else answers", agent({ metricsAreOurs: known(false) }), "fail"),
  when("agent.owner", "there is no such server", flags("--metrics-bind-address="), "skip"),
  when("agent.livez", "it is unwell", agent({ livez: known({ status: 503, body: "{}" }) }), "fail"),
  when("agent.livez", "it does not answer", agent({ livez: unknown("ETIMEDOUT") }), "fail"),
  when(
    "agent.healthz",
    "it is unwell",
    agent({ healthz: known({ status: 503, body: "{}" }) }),
    "fail",
  ),
  when(
    "agent.healthz",
    "the node is on its way out",
    agent({ healthz: known({ status: 503, body: '{"nodeEligible":false}' }) }),
    "warn",
  ),
  when(
    "agent.proxy-mode",
    "kube-proxy answers in another mode",
    agent({ proxyMode: known({ status: 200, body: "iptables" }) }),
    "fail",
    /iptables/,
  ),
  when(
    "agent.table",
    "it is gone",
    agent({ tables: known([{ family: "ip", state: "missing" }]) }),
    "fail",
  ),
  when(
    "agent.table",
    "an element is extra",
    agent({ tables: known([{ family: "ip", state: ["set ip vips has extra 1"] }]) }),
    "fail",
    /1 differences/,
  ),
  when(
    "agent.table",
    "it is gone before an install",
    { ...agent({ tables: known([{ family: "ip", state: "missing" }]) }), pre: true },
    "skip",
  ),
];
