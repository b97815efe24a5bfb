// Claims about packets, one table for two executions: traced through the planned ruleset, and
// sent for real between network namespaces. Every Service here serves port 80 over TCP and UDP on
// a ClusterIP, a NodePort, an external IP and a load balancer VIP of both families, unless its
// case says otherwise. Addresses follow from the case's place in the table.

/** Who sends: a pod of the playground, a process of node-1, or the client outside. */
export type Sender = "pod-1-1" | "pod-1-2" | "node-1" | "client";

/** Which address is dialled; the client's packets always enter at node-1. */
export type Entry =
  | "cluster"
  | "nodePort"
  | "external"
  | "balancer"
  /** Another port of the ClusterIP. */
  | "unused port"
  /** An address of the ServiceCIDR that no Service has. */
  | "unallocated"
  /** The NodePort on an address of node-1 that is not its primary one. */
  | "nodePort on other address"
  /** The NodePort on loopback. */
  | "nodePort on loopback";

export type Expectation =
  /** Each of these pods answers some of the time, and no other. */
  | { readonly reach: readonly string[]; readonly source: "kept" | "node" }
  | "refused"
  | "dropped"
  /** Innermesh leaves the packet as it is. */
  | "untouched";

export interface Claim {
  readonly from: Sender;
  readonly to: Entry;
  readonly expect: Expectation;
}

/** An endpoint: its pod and what is special about it. */
export interface CaseEndpoint {
  readonly pod: string;
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

export interface PacketCase {
  /** A sentence with the rule. */
  readonly name: string;
  /** Fields merged into the Service's spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** `ipMode` of the load balancer VIP. */
  readonly ipMode?: "VIP" | "Proxy";
  /** Slices of the Service, each with its endpoints. */
  readonly slices: readonly (readonly CaseEndpoint[])[];
  readonly claims: readonly Claim[];
}

/** Cases that share one configuration of the node. */
export interface CaseGroup {
  readonly name: string;
  readonly flags: readonly string[];
  /** Only where pods are wired so; everywhere when missing. */
  readonly cni?: "routed" | "bridge";
  readonly cases: readonly PacketCase[];
}

export const CLUSTER_CIDRS = "10.71.0.0/16,fd71::/48";
/** Of node-1's own pods only: others count as outside. */
export const NODE_CIDRS = "10.71.1.0/24,fd71:0:0:1::/64";

const at = (pod: string, more: Omit<CaseEndpoint, "pod"> = {}): CaseEndpoint => ({ pod, ...more });
const LOCAL = at("pod-1-2");
const REMOTE = at("pod-2-1");
const EVERYWHERE = [LOCAL, REMOTE];
const kept = (...reach: string[]): Expectation => ({ reach, source: "kept" });
const masqueraded = (...reach: string[]): Expectation => ({ reach, source: "node" });
const claims = (...list: (readonly [Sender, Entry, Expectation])[]): Claim[] =>
  list.map(([from, to, expect]) => ({ from, to, expect }));
const TERMINATING = { ready: false, serving: true, terminating: true };
const STOPPED = { ready: false, serving: false, terminating: true };
const UNREADY = { ready: false, serving: false, terminating: false };
const LOCAL_EXTERNAL = { externalTrafficPolicy: "Local" };

const defaultCases: readonly PacketCase[] = [
  {
    name: "a Service spreads over endpoints on both nodes, from every entry point",
    slices: [EVERYWHERE],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-1-2", "pod-2-1")],
      ["node-1", "cluster", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "cluster", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
      ["node-1", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "external", masqueraded("pod-1-2", "pod-2-1")],
      ["node-1", "external", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "external", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "balancer", masqueraded("pod-1-2", "pod-2-1")],
      ["node-1", "balancer", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "balancer", masqueraded("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "unused ports of a ClusterIP are refused, unallocated addresses of its range dropped",
    slices: [EVERYWHERE],
    claims: claims(
      ["pod-1-1", "unused port", "refused"],
      ["node-1", "unused port", "refused"],
      ["pod-1-1", "unallocated", "dropped"],
      ["node-1", "unallocated", "dropped"],
    ),
  },
  {
    name: "a NodePort answers on the node's primary address only, and never on loopback",
    slices: [EVERYWHERE],
    claims: claims(
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "nodePort on other address", "untouched"],
      ["node-1", "nodePort on loopback", "untouched"],
    ),
  },
  {
    name: "a pod that reaches itself through its Service is masqueraded: hairpin",
    slices: [[at("pod-1-1")]],
    claims: claims(
      ["pod-1-1", "cluster", masqueraded("pod-1-1")],
      ["pod-1-1", "nodePort", masqueraded("pod-1-1")],
      ["pod-1-2", "cluster", kept("pod-1-1")],
    ),
  },
  {
    name: "without any endpoint every entry point refuses",
    slices: [[]],
    claims: claims(
      ["pod-1-1", "cluster", "refused"],
      ["node-1", "cluster", "refused"],
      ["pod-1-1", "nodePort", "refused"],
      ["client", "nodePort", "refused"],
      ["client", "external", "refused"],
      ["client", "balancer", "refused"],
    ),
  },
  {
    name: "endpoints that are not ready count as none",
    slices: [[at("pod-1-2", { conditions: UNREADY }), at("pod-2-1", { conditions: STOPPED })]],
    claims: claims(["pod-1-1", "cluster", "refused"], ["client", "nodePort", "refused"]),
  },
  {
    name: "internalTrafficPolicy Local uses this node's endpoints only",
    spec: { internalTrafficPolicy: "Local" },
    slices: [EVERYWHERE],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-1-2")],
      ["node-1", "cluster", masqueraded("pod-1-2")],
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "internalTrafficPolicy Local drops when endpoints are elsewhere, and refuses when nowhere",
    spec: { internalTrafficPolicy: "Local" },
    slices: [[REMOTE]],
    claims: claims(
      ["pod-1-1", "cluster", "dropped"],
      ["node-1", "cluster", "dropped"],
      ["client", "nodePort", masqueraded("pod-2-1")],
    ),
  },
  {
    name: "internalTrafficPolicy Local without any endpoint refuses",
    spec: { internalTrafficPolicy: "Local" },
    slices: [[]],
    claims: claims(["pod-1-1", "cluster", "refused"]),
  },
  {
    name: "externalTrafficPolicy Local keeps the client's address and stays on the node",
    spec: LOCAL_EXTERNAL,
    slices: [EVERYWHERE],
    claims: claims(
      ["client", "nodePort", kept("pod-1-2")],
      ["client", "external", kept("pod-1-2")],
      ["client", "balancer", kept("pod-1-2")],
      ["pod-1-1", "cluster", kept("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "externalTrafficPolicy Local still serves this node and its pods from all endpoints",
    spec: LOCAL_EXTERNAL,
    slices: [[REMOTE]],
    claims: claims(
      ["pod-1-1", "nodePort", kept("pod-2-1")],
      ["pod-1-1", "balancer", kept("pod-2-1")],
      ["node-1", "nodePort", masqueraded("pod-2-1")],
      ["node-1", "balancer", masqueraded("pod-2-1")],
      ["client", "nodePort", "dropped"],
      ["client", "external", "dropped"],
      ["client", "balancer", "dropped"],
    ),
  },
  {
    name: "externalTrafficPolicy Local without any endpoint refuses",
    spec: LOCAL_EXTERNAL,
    slices: [[]],
    claims: claims(["client", "nodePort", "refused"], ["client", "balancer", "refused"]),
  },
  {
    name: "terminating endpoints serve while none is ready, each policy by itself",
    spec: LOCAL_EXTERNAL,
    slices: [[at("pod-1-2", { conditions: TERMINATING }), REMOTE]],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-2-1")],
      ["client", "nodePort", kept("pod-1-2")],
    ),
  },
  {
    name: "terminating endpoints serve every policy when nothing else is left",
    spec: { internalTrafficPolicy: "Local" },
    slices: [
      [at("pod-1-2", { conditions: TERMINATING }), at("pod-2-1", { conditions: TERMINATING })],
    ],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-1-2")],
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "an address listed as terminating in one slice and ready in another is ready",
    slices: [[at("pod-2-1", { conditions: TERMINATING })], [at("pod-2-1")]],
    claims: claims(["pod-1-1", "cluster", kept("pod-2-1")]),
  },
  {
    name: "zone hints keep traffic in the node's zone, but not for policy Local",
    spec: LOCAL_EXTERNAL,
    slices: [[at("pod-1-2", { zones: ["zone-b"] }), at("pod-2-1", { zones: ["zone-a"] })]],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-2-1")],
      ["client", "nodePort", kept("pod-1-2")],
    ),
  },
  {
    name: "one endpoint without a hint turns zone hints off",
    slices: [[at("pod-1-2", { zones: ["zone-a"] }), REMOTE]],
    claims: claims(["pod-1-1", "cluster", kept("pod-1-2", "pod-2-1")]),
  },
  {
    name: "node hints come before zone hints",
    slices: [
      [
        at("pod-1-2", { zones: ["zone-a"], nodes: ["node-1"] }),
        at("pod-2-1", { zones: ["zone-a"], nodes: ["node-2"] }),
      ],
    ],
    claims: claims(["pod-1-1", "cluster", kept("pod-1-2")]),
  },
  {
    name: "source ranges admit the client to the VIP, and change nothing elsewhere",
    spec: { loadBalancerSourceRanges: ["192.168.77.0/24 ", "198.18.0.0/15", "fd77::/64"] },
    slices: [EVERYWHERE],
    claims: claims(
      ["client", "balancer", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "balancer", "dropped"],
      ["pod-1-1", "external", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "cluster", kept("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "source ranges shut the client out of the VIP only",
    spec: { loadBalancerSourceRanges: ["10.71.0.0/16", "10.71.1.0/24", "fd71::/48"] },
    slices: [EVERYWHERE],
    claims: claims(
      ["client", "balancer", "dropped"],
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
      ["client", "external", masqueraded("pod-1-2", "pod-2-1")],
      ["pod-1-1", "balancer", masqueraded("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "source ranges drop before a Service without endpoints refuses",
    spec: { loadBalancerSourceRanges: ["10.71.0.0/16", "fd71::/48"] },
    slices: [[]],
    claims: claims(["client", "balancer", "dropped"], ["pod-1-1", "balancer", "refused"]),
  },
  {
    name: "a range of everything in one family admits everybody in that family",
    spec: { loadBalancerSourceRanges: ["0.0.0.0/0", "::/0"] },
    slices: [EVERYWHERE],
    claims: claims(["client", "balancer", masqueraded("pod-1-2", "pod-2-1")]),
  },
  {
    name: "a VIP with ipMode Proxy is the load balancer's own business",
    ipMode: "Proxy",
    slices: [EVERYWHERE],
    claims: claims(
      ["pod-1-1", "balancer", "untouched"],
      ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
    ),
  },
  {
    name: "a Service of another proxy is not ours",
    metadata: { labels: { "service.kubernetes.io/service-proxy-name": "other" } },
    slices: [EVERYWHERE],
    claims: claims(
      ["pod-1-1", "cluster", "dropped"],
      ["client", "nodePort", "untouched"],
      ["client", "balancer", "untouched"],
    ),
  },
  {
    name: "ClientIP affinity keeps a client at one endpoint",
    spec: {
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } },
    },
    slices: [[at("pod-2-1")]],
    claims: claims(
      ["pod-1-1", "cluster", kept("pod-2-1")],
      ["client", "nodePort", masqueraded("pod-2-1")],
      ["client", "balancer", masqueraded("pod-2-1")],
    ),
  },
];

const SPREAD: PacketCase = {
  name: "pods keep their address, everybody else is masqueraded",
  slices: [EVERYWHERE],
  claims: claims(
    ["pod-1-1", "cluster", kept("pod-1-2", "pod-2-1")],
    ["node-1", "cluster", masqueraded("pod-1-2", "pod-2-1")],
    ["client", "cluster", masqueraded("pod-1-2", "pod-2-1")],
  ),
};

const SHORT_CIRCUIT: PacketCase = {
  name: "externalTrafficPolicy Local serves pods and the node from all endpoints",
  spec: LOCAL_EXTERNAL,
  slices: [[REMOTE]],
  claims: claims(
    ["pod-1-1", "balancer", kept("pod-2-1")],
    ["node-1", "balancer", masqueraded("pod-2-1")],
    ["client", "balancer", "dropped"],
  ),
};

/**
 * The number of a case, unique in the whole table: it decides ports and addresses, so that no
 * flow that conntrack remembers from one group is met by another.
 */
export function caseNumber(group: CaseGroup, index: number): number {
  const before = CASE_GROUPS.slice(0, CASE_GROUPS.indexOf(group));
  return before.reduce((count, { cases }) => count + cases.length, 0) + index + 1;
}

export const CASE_GROUPS: readonly CaseGroup[] = [
  {
    name: "detect-local ClusterCIDR",
    flags: [`--cluster-cidr=${CLUSTER_CIDRS}`],
    cases: defaultCases,
  },
  {
    name: "detect-local NodeCIDR",
    flags: ["--detect-local-mode=NodeCIDR"],
    cases: [SPREAD, SHORT_CIRCUIT],
  },
  {
    name: "detect-local BridgeInterface",
    flags: ["--detect-local-mode=BridgeInterface", "--pod-bridge-interface=cni0"],
    cni: "bridge",
    cases: [SPREAD, SHORT_CIRCUIT],
  },
  {
    name: "detect-local InterfaceNamePrefix",
    cni: "routed",
    flags: ["--detect-local-mode=InterfaceNamePrefix", "--pod-interface-name-prefix=veth-1-"],
    cases: [SPREAD, SHORT_CIRCUIT],
  },
  {
    name: "no local detector",
    flags: ["--cluster-cidr="],
    cases: [
      {
        name: "nobody is masqueraded to a ClusterIP, and pods are outside for policy Local",
        spec: LOCAL_EXTERNAL,
        slices: [[REMOTE]],
        claims: claims(
          ["pod-1-1", "cluster", kept("pod-2-1")],
          ["pod-1-1", "balancer", "dropped"],
          ["node-1", "balancer", masqueraded("pod-2-1")],
        ),
      },
    ],
  },
  {
    name: "masquerade-all",
    flags: [`--cluster-cidr=${CLUSTER_CIDRS}`, "--masquerade-all"],
    cases: [
      {
        name: "everybody is masqueraded to ClusterIPs, but policy Local keeps its clients",
        spec: LOCAL_EXTERNAL,
        slices: [[LOCAL]],
        claims: claims(
          ["pod-1-1", "cluster", masqueraded("pod-1-2")],
          ["client", "nodePort", kept("pod-1-2")],
          ["pod-1-1", "nodePort", kept("pod-1-2")],
        ),
      },
    ],
  },
  {
    name: "nodeport-addresses by prefix",
    flags: [
      `--cluster-cidr=${CLUSTER_CIDRS}`,
      "--nodeport-addresses=198.51.100.0/24,2001:db8:100::/64",
    ],
    cases: [
      {
        name: "a NodePort answers on the addresses within the prefixes only",
        slices: [EVERYWHERE],
        claims: claims(
          ["client", "nodePort on other address", masqueraded("pod-1-2", "pod-2-1")],
          ["client", "nodePort", "untouched"],
        ),
      },
    ],
  },
  {
    name: "nodeport-addresses everywhere",
    flags: [`--cluster-cidr=${CLUSTER_CIDRS}`, "--nodeport-addresses=0.0.0.0/0,::/0"],
    cases: [
      {
        name: "a NodePort answers on every address but loopback",
        slices: [EVERYWHERE],
        claims: claims(
          ["client", "nodePort on other address", masqueraded("pod-1-2", "pod-2-1")],
          ["client", "nodePort", masqueraded("pod-1-2", "pod-2-1")],
          ["node-1", "nodePort on loopback", "untouched"],
        ),
      },
    ],
  },
];
