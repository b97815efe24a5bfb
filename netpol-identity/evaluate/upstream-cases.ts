// The scenarios of Kubernetes' own NetworkPolicy suite (test/e2e/network/netpol, v1.36) as data: what
// is applied, step by step, and who reaches whom then, in tables written by hand. Each spec there
// makes the pods that it needs; here all nine are there in every case, which asks for more.

import assert from "node:assert/strict";
import type { TransportProtocol } from "../../lib/kube/api/network-policy.ts";

/** A Kubernetes object, to be written as JSON. */
export type PolicyManifest = {
  readonly apiVersion: "networking.k8s.io/v1";
  readonly kind: "NetworkPolicy";
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly spec: Readonly<Record<string, unknown>>;
};

/** A pod of the cases, where the playground has it. */
export interface UpstreamPod {
  /** `x/a` */
  readonly name: string;
  /** Of the playground. */
  readonly host: string;
  readonly node: string;
  readonly addresses: { readonly ip: string; readonly ip6: string };
}

export type UpstreamChange =
  /** Takes the place of one of the same name. */
  | { readonly kind: "put"; readonly policy: PolicyManifest }
  | { readonly kind: "delete-policies" }
  /** Beside those that it has. */
  | { readonly kind: "label-namespace"; readonly namespace: string; readonly labels: Labels }
  | { readonly kind: "label-pod"; readonly pod: string; readonly labels: Labels };

/** Who reaches whom on one port. Pods never call themselves. */
export interface UpstreamTable {
  readonly protocol: TransportProtocol;
  readonly port: number;
  /** `CLIENT > SERVER`, where `x/*` is a namespace and `*` everybody. All others are allowed. */
  readonly denied: readonly string[];
  /** Allowed though denied above. */
  readonly but: readonly string[];
}

export interface UpstreamStep {
  readonly changes: readonly UpstreamChange[];
  readonly tables: readonly UpstreamTable[];
}

export interface UpstreamCase {
  readonly suite: TransportProtocol;
  /** Of the spec upstream; unique in its suite. */
  readonly name: string;
  readonly steps: readonly UpstreamStep[];
}

type Labels = Readonly<Record<string, string>>;

/** Ports of every pod, over each protocol, named `serve-80-tcp` and so on. */
export const UPSTREAM_PORTS = [80, 81] as const;
export const UPSTREAM_NAMESPACES = ["x", "y", "z"] as const;

/** Pods of each namespace are on both nodes. */
export const UPSTREAM_PODS: readonly UpstreamPod[] = [
  pod("x/a", 1, 1),
  pod("x/b", 2, 1),
  pod("x/c", 1, 2),
  pod("y/a", 2, 2),
  pod("y/b", 1, 3),
  pod("y/c", 2, 3),
  pod("z/a", 1, 4),
  pod("z/b", 2, 4),
  pod("z/c", 1, 5),
];

function pod(name: string, node: number, number: number): UpstreamPod {
  return {
    name,
    host: `pod-${node}-${number}`,
    node: `node-${node}`,
    addresses: { ip: `10.71.${node}.${number + 1}`, ip6: `fd71:0:0:${node}::${number + 1}` },
  };
}

/** Whether one pod reaches another. */
export function isAllowed(table: UpstreamTable, client: string, server: string): boolean {
  const matches = (pattern: string): boolean => {
    const [from = "", to = ""] = pattern.split(" > ");
    return isOf(from, client) && isOf(to, server);
  };
  return !table.denied.some(matches) || table.but.some(matches);
}

function isOf(pattern: string, name: string): boolean {
  return pattern === "*" || pattern === name || pattern === `${name.split("/")[0]}/*`;
}

const ALL = {};
const NAME = "kubernetes.io/metadata.name";
const POD_A = { matchLabels: { pod: "a" } };
const POD_B = { matchLabels: { pod: "b" } };
const POD_C = { matchLabels: { pod: "c" } };
const NAMESPACE_X = { matchLabels: { [NAME]: "x" } };
const NAMESPACE_Y = { matchLabels: { [NAME]: "y" } };
const NOT_NAMESPACE_X = where(NAME, "NotIn", "x");
/** Of the pods' addresses, as wide as upstream's. */
const WIDE_BLOCKS = { ip: "0.0.0.0/4", ip6: "f000::/4" } as const;

type Part = Readonly<Record<string, unknown>>;

function where(key: string, operator: "In" | "NotIn", ...values: readonly string[]): Part {
  return { matchExpressions: [{ key, operator, values }] };
}

/** A rule: of these peers, and on these ports where some are given. */
function from(peers: readonly Part[], ...ports: readonly Part[]): Part {
  return { from: peers, ...(ports.length > 0 && { ports }) };
}

function to(...peers: readonly Part[]): Part {
  return { to: peers };
}

/** A rule of these ports and whatever peers. */
function on(...ports: readonly Part[]): Part {
  return { ports };
}

const pods = (podSelector: Part): Part => ({ podSelector });
const namespaces = (namespaceSelector: Part): Part => ({ namespaceSelector });
const both = (namespaceSelector: Part, podSelector: Part): Part => ({
  namespaceSelector,
  podSelector,
});

/** A direction is among the policy's types where it has rules, or an empty list of them. */
function put(
  path: string,
  spec: {
    readonly of: Part;
    readonly ingress?: readonly Part[];
    readonly egress?: readonly Part[];
  },
): UpstreamChange {
  const [namespace = "", name = ""] = path.split("/");
  const { of: podSelector, ingress, egress } = spec;
  const policyTypes = [...(ingress ? ["Ingress"] : []), ...(egress ? ["Egress"] : [])];
  const rules = { ...(ingress && { ingress }), ...(egress && { egress }) };
  const policy: PolicyManifest = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace, name },
    spec: { podSelector, policyTypes, ...rules },
  };
  return { kind: "put", policy };
}

type Denials = readonly string[];

function tcp(port: number, denied: Denials, but: Denials = []): UpstreamTable {
  return { protocol: "TCP", port, denied, but };
}

function step(
  changes: readonly UpstreamChange[],
  ...tables: readonly UpstreamTable[]
): UpstreamStep {
  return { changes, tables };
}

/** Blocks of exactly one pod. */
function blocksOf(name: string): readonly [ip: string, ip6: string] {
  const { addresses } = UPSTREAM_PODS.find((one) => one.name === name) ?? assert.fail(name);
  return [`${addresses.ip}/32`, `${addresses.ip6}/128`];
}

function toOnly(name: string): Part {
  return to(...blocksOf(name).map((cidr) => ({ ipBlock: { cidr } })));
}

function toAllBut(name: string): Part {
  const [ip, ip6] = blocksOf(name);
  return to(
    { ipBlock: { cidr: WIDE_BLOCKS.ip, except: [ip] } },
    { ipBlock: { cidr: WIDE_BLOCKS.ip6, except: [ip6] } },
  );
}

const INTO_X = ["* > x/*"];
const INTO_XA = ["* > x/a"];
const INTO_XA_BUT_FROM_Y = ["x/* > x/a", "z/* > x/a"];
const INTO_AND_OUT_OF_X = ["* > x/*", "x/* > *"];
const A_81_FROM_Y = put("x/a-81-from-y", {
  of: POD_A,
  ingress: [from([namespaces(NAMESPACE_Y)], { protocol: "TCP", port: 81 })],
});
const A_FROM_Y = put("x/a-from-y", { of: POD_A, ingress: [from([namespaces(NAMESPACE_Y)])] });
const A_TO_YA = put("x/a-to-ya", { of: POD_A, egress: [to(both(NAMESPACE_Y, POD_A))] });
const FROM_XA = from([both(NAMESPACE_X, POD_A)]);

const TCP_CASES: Readonly<Record<string, readonly UpstreamStep[]>> = {
  "should support a 'default-deny-ingress' policy": [
    step([put("x/deny-ingress", { of: ALL, ingress: [] })], tcp(80, INTO_X)),
  ],
  "should support a 'default-deny-all' policy": [
    step([put("x/deny-all", { of: ALL, ingress: [], egress: [] })], tcp(80, INTO_AND_OUT_OF_X)),
  ],
  "should enforce policy to allow traffic from pods within server namespace based on PodSelector": [
    step(
      [put("x/a-from-b", { of: POD_A, ingress: [from([pods(POD_B)])] })],
      tcp(80, INTO_XA, ["x/b > x/a"]),
    ),
  ],
  "should enforce policy to allow ingress traffic for a target": [
    step(
      [
        put("x/deny-all", { of: ALL, ingress: [] }),
        put("x/a-from-all", { of: POD_A, ingress: [from([both(ALL, ALL)])] }),
      ],
      tcp(80, INTO_X, ["* > x/a"]),
    ),
  ],
  "should enforce policy to allow ingress traffic from pods in all namespaces": [
    step(
      [put("x/a-from-all", { of: POD_A, ingress: [from([namespaces({ matchLabels: {} })])] })],
      tcp(80, []),
    ),
  ],
  "should enforce policy to allow traffic only from a different namespace, based on NamespaceSelector":
    [step([A_FROM_Y], tcp(80, INTO_XA_BUT_FROM_Y))],
  "should enforce policy based on PodSelector with MatchExpressions": [
    step(
      [put("x/a-from-b", { of: POD_A, ingress: [from([pods(where("pod", "In", "b"))])] })],
      tcp(80, INTO_XA, ["x/b > x/a"]),
    ),
  ],
  "should enforce policy based on NamespaceSelector with MatchExpressions": [
    step(
      [put("x/a-from-y", { of: POD_A, ingress: [from([namespaces(where(NAME, "In", "y"))])] })],
      tcp(80, INTO_XA_BUT_FROM_Y),
    ),
  ],
  "should enforce policy based on PodSelector or NamespaceSelector": [
    step(
      [
        put("x/a-from-abroad-or-b", {
          of: POD_A,
          ingress: [from([namespaces(NOT_NAMESPACE_X), pods(POD_B)])],
        }),
      ],
      tcp(80, ["x/c > x/a"]),
    ),
  ],
  "should enforce policy based on PodSelector and NamespaceSelector": [
    step(
      [put("x/a-from-b-abroad", { of: POD_A, ingress: [from([both(NOT_NAMESPACE_X, POD_B)])] })],
      tcp(80, INTO_XA, ["y/b > x/a", "z/b > x/a"]),
    ),
  ],
  "should enforce policy based on Multiple PodSelectors and NamespaceSelectors": [
    step(
      [
        put("x/a-from-b-or-c-abroad", {
          of: POD_A,
          ingress: [from([both(NOT_NAMESPACE_X, where("pod", "In", "b", "c"))])],
        }),
      ],
      tcp(80, ["x/* > x/a", "y/a > x/a", "z/a > x/a"]),
    ),
  ],
  "should enforce policy based on any PodSelectors": [
    step(
      [put("x/a-from-b-or-c", { of: POD_A, ingress: [from([pods(POD_B), pods(POD_C)])] })],
      tcp(80, INTO_XA, ["x/b > x/a", "x/c > x/a"]),
    ),
  ],
  "should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector":
    [
      step(
        [put("x/a-from-ya", { of: POD_A, ingress: [from([both(NAMESPACE_Y, POD_A)])] })],
        tcp(80, INTO_XA, ["y/a > x/a"]),
      ),
    ],
  "should enforce policy based on Ports": [step([A_81_FROM_Y], tcp(81, INTO_XA_BUT_FROM_Y))],
  "should enforce multiple, stacked policies with overlapping podSelectors": [
    step([A_81_FROM_Y], tcp(81, INTO_XA_BUT_FROM_Y), tcp(80, INTO_XA)),
    step(
      [
        put("x/a-80-from-y", {
          of: POD_A,
          ingress: [from([namespaces(NAMESPACE_Y)], { protocol: "TCP", port: 80 })],
        }),
      ],
      tcp(80, INTO_XA_BUT_FROM_Y),
      tcp(81, INTO_XA_BUT_FROM_Y),
    ),
  ],
  "should support allow-all policy": [
    step(
      [put("x/allow-all", { of: { matchLabels: {} }, ingress: [{}] })],
      tcp(80, []),
      tcp(81, []),
    ),
  ],
  "should allow ingress access on one named port": [
    step(
      [put("x/on-81", { of: ALL, ingress: [on({ port: "serve-81-tcp" })] })],
      tcp(81, []),
      tcp(80, INTO_X),
    ),
  ],
  "should allow ingress access from namespace on one named port": [
    step(
      [
        put("x/a-80-from-y", {
          of: POD_A,
          ingress: [from([namespaces(NAMESPACE_Y)], { protocol: "TCP", port: "serve-80-tcp" })],
        }),
      ],
      tcp(80, INTO_XA_BUT_FROM_Y),
      tcp(81, INTO_XA),
    ),
  ],
  "should allow egress access on one named port": [
    step(
      [put("x/to-80", { of: ALL, egress: [on({ port: "serve-80-tcp" })] })],
      tcp(80, []),
      tcp(81, ["x/* > *"]),
    ),
  ],
  "should enforce updated policy": [
    step([put("x/all-or-nothing", { of: ALL, ingress: [{}] })], tcp(81, [])),
    step([put("x/all-or-nothing", { of: ALL, ingress: [] })], tcp(81, INTO_X)),
  ],
  "should allow ingress access from updated namespace": [
    step(
      [
        put("x/a-from-updated", {
          of: POD_A,
          ingress: [from([namespaces({ matchLabels: { ns2: "updated" } })])],
        }),
      ],
      tcp(80, INTO_XA),
    ),
    step(
      [{ kind: "label-namespace", namespace: "y", labels: { ns2: "updated" } }],
      tcp(80, INTO_XA, ["y/* > x/a"]),
    ),
  ],
  "should allow ingress access from updated pod": [
    step(
      [
        put("x/a-from-updated", {
          of: POD_A,
          ingress: [from([pods({ matchLabels: { pod: "b", pod2: "updated" } })])],
        }),
      ],
      tcp(80, INTO_XA),
    ),
    step(
      [{ kind: "label-pod", pod: "x/b", labels: { pod2: "updated" } }],
      tcp(80, INTO_XA, ["x/b > x/a"]),
    ),
  ],
  "should deny ingress from pods on other namespaces": [
    step(
      [put("x/from-own", { of: ALL, ingress: [from([pods({ matchLabels: {} })])] })],
      tcp(80, ["y/* > x/*", "z/* > x/*"]),
    ),
  ],
  "should deny ingress access to updated pod": [
    step(
      [put("x/isolated", { of: { matchLabels: { target: "isolated" } }, ingress: [] })],
      tcp(80, []),
    ),
    step([{ kind: "label-pod", pod: "x/a", labels: { target: "isolated" } }], tcp(80, INTO_XA)),
  ],
  "should deny egress from pods based on PodSelector": [
    step([put("x/a-to-nobody", { of: POD_A, egress: [] })], tcp(80, ["x/a > *"])),
  ],
  "should deny egress from all pods in a namespace": [
    step([put("x/to-nobody", { of: ALL, egress: [] })], tcp(80, ["x/* > *"])),
  ],
  "should work with Ingress, Egress specified together": [
    step(
      [
        put("x/a-from-b-to-80", {
          of: POD_A,
          ingress: [from([pods(POD_B)])],
          egress: [on({ port: 80 })],
        }),
      ],
      tcp(80, INTO_XA, ["x/b > x/a"]),
      tcp(81, ["* > x/a", "x/a > *"], ["x/b > x/a"]),
    ),
  ],
  "should support denying of egress traffic on the client side (even if the server explicitly allows this traffic)":
    [
      step(
        [
          A_TO_YA,
          put("y/a-from-xa", { of: POD_A, ingress: [FROM_XA] }),
          put("y/b-from-xa", { of: POD_B, ingress: [FROM_XA] }),
        ],
        tcp(80, ["x/a > *", "* > y/a", "* > y/b"], ["x/a > y/a"]),
      ),
    ],
  "should enforce egress policy allowing traffic to a server in a different namespace based on PodSelector and NamespaceSelector":
    [step([A_TO_YA], tcp(80, ["x/a > *"], ["x/a > y/a"]))],
  "should enforce ingress policy allowing any port traffic to a server on a specific protocol": [
    step([put("x/a-over-tcp", { of: POD_A, ingress: [on({ protocol: "TCP" })] })], tcp(80, []), {
      protocol: "UDP",
      port: 80,
      denied: INTO_XA,
      but: [],
    }),
  ],
  "should enforce multiple ingress policies with ingress allow-all policy taking precedence": [
    step([put("x/on-80", { of: ALL, ingress: [on({ port: 80 })] })], tcp(81, INTO_X)),
    step([put("x/on-all", { of: ALL, ingress: [{}] })], tcp(81, [])),
  ],
  "should enforce multiple egress policies with egress allow-all policy taking precedence": [
    step([put("x/to-80", { of: ALL, egress: [on({ port: 80 })] })], tcp(81, ["x/* > *"])),
    step([put("x/to-all", { of: ALL, egress: [{}] })], tcp(81, [])),
  ],
  "should stop enforcing policies after they are deleted": [
    step([put("x/deny-all", { of: ALL, ingress: [], egress: [] })], tcp(80, INTO_AND_OUT_OF_X)),
    step([{ kind: "delete-policies" }], tcp(80, [])),
  ],
  "should allow egress access to server in CIDR block": [
    step(
      [put("x/a-to-block", { of: POD_A, egress: [toOnly("y/b")] })],
      tcp(80, ["x/a > *"], ["x/a > y/b"]),
    ),
  ],
  "should enforce except clause while egress access to server in CIDR block": [
    step([put("x/a-to-block", { of: POD_A, egress: [toAllBut("x/b")] })], tcp(80, ["x/a > x/b"])),
  ],
  "should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed": [
    step([put("x/a-to-block", { of: POD_A, egress: [toAllBut("x/b")] })], tcp(80, ["x/a > x/b"])),
    // Upstream goes no further than to put the second in the first one's place.
    step(
      [put("x/a-to-block", { of: POD_A, egress: [toOnly("x/b")] })],
      tcp(80, ["x/a > *"], ["x/a > x/b"]),
    ),
    step([put("x/a-to-wide", { of: POD_A, egress: [toAllBut("x/b")] })], tcp(80, [])),
  ],
  "should enforce policies to check ingress and egress policies can be controlled independently based on PodSelector":
    [
      step([put("x/a-to-all", { of: POD_A, egress: [{}] })], tcp(80, [])),
      step([put("x/a-from-nobody", { of: POD_A, ingress: [] })], tcp(80, INTO_XA)),
    ],
  "should not mistakenly treat 'protocol: SCTP' as 'protocol: TCP', even if the plugin doesn't support SCTP":
    [
      step(
        [
          put("x/deny-ingress", { of: ALL, ingress: [] }),
          put("x/a-81-sctp", { of: POD_A, ingress: [on({ protocol: "SCTP", port: 81 })] }),
        ],
        tcp(81, INTO_X),
      ),
    ],
  "should properly isolate pods that are selected by a policy allowing SCTP, even if the plugin doesn't support SCTP":
    [
      step(
        [put("x/a-80-sctp", { of: POD_A, ingress: [on({ protocol: "SCTP", port: 80 })] })],
        tcp(81, INTO_XA),
      ),
    ],
  "should not allow access by TCP when a policy specifies only UDP": [
    step(
      [put("x/a-81-udp", { of: POD_A, ingress: [on({ protocol: "UDP", port: 81 })] })],
      tcp(81, INTO_XA),
    ),
  ],
  "should enforce policy to allow traffic based on NamespaceSelector with MatchLabels using default ns label":
    [step([A_FROM_Y], tcp(80, INTO_XA_BUT_FROM_Y))],
  "should enforce policy based on NamespaceSelector with MatchExpressions using default ns label": [
    step(
      [
        put("x/a-to-all-but-y", {
          of: POD_A,
          egress: [to(namespaces(where(NAME, "NotIn", "y")))],
        }),
      ],
      tcp(80, ["x/a > y/*"]),
    ),
  ],
};

/** What upstream has for UDP and SCTP each. */
function casesOver(protocol: "UDP" | "SCTP"): Readonly<Record<string, readonly UpstreamStep[]>> {
  const over = (port: number, denied: Denials, but: Denials = []): UpstreamTable => ({
    protocol,
    port,
    denied,
    but,
  });
  const rule = from([namespaces(NAMESPACE_Y)], { protocol, port: 81 });
  return {
    "should support a 'default-deny-ingress' policy": [
      step([put("x/deny-all", { of: ALL, ingress: [] })], over(80, INTO_X)),
    ],
    "should enforce policy based on Ports": [
      step([put("x/a-81-from-y", { of: POD_A, ingress: [rule] })], over(81, INTO_XA_BUT_FROM_Y)),
    ],
    "should enforce policy to allow traffic only from a pod in a different namespace based on PodSelector and NamespaceSelector":
      [
        step(
          [put("x/a-from-ya", { of: POD_A, ingress: [from([both(NAMESPACE_Y, POD_A)])] })],
          over(80, INTO_XA, ["y/a > x/a"]),
        ),
      ],
  };
}

function suiteOf(
  suite: TransportProtocol,
  cases: Readonly<Record<string, readonly UpstreamStep[]>>,
): readonly UpstreamCase[] {
  return Object.entries(cases).map(([name, steps]) => ({ suite, name, steps }));
}

/** 42 of TCP, three of UDP, three of SCTP. */
export const UPSTREAM_CASES: readonly UpstreamCase[] = [
  ...suiteOf("TCP", TCP_CASES),
  ...suiteOf("UDP", casesOver("UDP")),
  ...suiteOf("SCTP", casesOver("SCTP")),
];
