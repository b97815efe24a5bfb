// Random clusters under random NetworkPolicies: few names and labels, so that much meets much. All
// of them are valid, as the API server would let them in.

import fc from "fast-check";
import {
  type Manifest,
  namespaceObject,
  type PolicyObjects,
  podObject,
  type SamplePort,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";

/** Where a pod runs, whatever it is called. */
export interface RandomHost {
  /** @default one of chance */
  readonly namespace?: string;
  readonly node: string;
  readonly addresses: readonly string[];
}

/** What the servers listen on, over TCP and UDP. */
export const RANDOM_PORTS = [80, 81] as const;
/** All there are. */
export const NAMESPACES = ["x", "y", "z"] as const;
const VALUES = ["a", "b", ""];
export const PORT_NAMES = ["web", "dns", "admin"];
/** From within the pods' ranges to everything, and all kinds of edges. */
export const BLOCKS: readonly (readonly [cidr: string, inside: readonly string[]])[] = [
  ["0.0.0.0/0", ["10.71.0.0/16", "10.71.1.0/24", "192.168.77.0/24"]],
  ["10.71.0.0/16", ["10.71.2.0/24", "10.71.1.2/32", "10.71.1.4/31"]],
  ["10.71.1.0/24", ["10.71.1.2/31", "10.71.1.4/30", "10.71.1.3/32"]],
  ["10.71.2.0/30", ["10.71.2.3/32"]],
  ["10.71.2.3/32", []],
  ["192.168.77.0/24", ["192.168.77.2/32"]],
  ["::/0", ["fd71::/48", "fd71:0:0:1::/64", "fd77::/64"]],
  ["fd71::/48", ["fd71:0:0:2::/64", "fd71:0:0:1::2/128", "fd71:0:0:1::4/126"]],
  ["fd71:0:0:1::/64", ["fd71:0:0:1::2/127", "fd71:0:0:1::3/128"]],
  ["fd71:0:0:2::3/128", []],
];

/** A cluster whose pods are these hosts, each in a namespace and with labels of chance. */
export function randomObjects(hosts: readonly RandomHost[]): fc.Arbitrary<PolicyObjects> {
  return fc.record({
    namespaces: fc.tuple(...NAMESPACES.map((name) => labels().map((own) => nameLabels(name, own)))),
    pods: fc.tuple(...hosts.map((host, at) => pod(host, `pod-${at}`))),
    policies: fc
      .array(spec(), { minLength: 1, maxLength: 5 })
      .map((specs) => specs.map(policyObject)),
  });
}

function nameLabels(name: string, own: Readonly<Record<string, string>>): Manifest {
  return namespaceObject(name, own);
}

function pod(host: RandomHost, name: string): fc.Arbitrary<Manifest> {
  return fc
    .record({
      namespace: host.namespace ? fc.constant(host.namespace) : fc.constantFrom(...NAMESPACES),
      labels: labels(),
      ports: ports(),
    })
    .map((chosen) => podObject({ ...host, ...chosen, name }));
}

/** Names of some ports; the same name is of another port elsewhere. */
function ports(): fc.Arbitrary<readonly SamplePort[]> {
  const one = fc.record({
    name: fc.constantFrom(...PORT_NAMES),
    protocol: fc.constantFrom("TCP", "UDP"),
    containerPort: fc.constantFrom(...RANDOM_PORTS),
  });
  const selector = ({ protocol, name, containerPort }: SamplePort): readonly string[] => [
    `${protocol} ${name}`,
    `${protocol} ${containerPort}`,
  ];
  return fc.array(one, { maxLength: 4 }).map((all) => {
    const taken = new Set<string>();
    return all.filter((port) => {
      const keys = selector(port);
      if (keys.some((key) => taken.has(key))) return false;
      for (const key of keys) taken.add(key);
      return true;
    });
  });
}

function labels(): fc.Arbitrary<Readonly<Record<string, string>>> {
  const value = fc.constantFrom(...VALUES);
  return fc.record({ app: value, tier: value }, { requiredKeys: [] });
}

/** Of labels that pods and namespaces have, or nearly. */
export function randomSelector(): fc.Arbitrary<object> {
  const key = fc.constantFrom("app", "tier", "none");
  const listed = fc.record({
    key,
    operator: fc.constantFrom("In", "NotIn"),
    values: fc.uniqueArray(fc.constantFrom(...VALUES), { minLength: 1 }),
  });
  const bare = fc.record({ key, operator: fc.constantFrom("Exists", "DoesNotExist") });
  const matchExpressions = fc.array(fc.oneof(listed, bare), { maxLength: 2 });
  return fc.oneof(
    { arbitrary: fc.constant({}), weight: 2 },
    { arbitrary: fc.record({ matchLabels: labels() }), weight: 3 },
    {
      arbitrary: fc.record({ matchLabels: labels(), matchExpressions }, { requiredKeys: [] }),
      weight: 3,
    },
  );
}

function spec(): fc.Arbitrary<Readonly<Record<string, unknown>>> {
  const types = [["Ingress"], ["Egress"], ["Ingress", "Egress"], []];
  return fc.record(
    {
      namespace: fc.constantFrom(...NAMESPACES),
      podSelector: randomSelector(),
      policyTypes: fc.constantFrom(...types),
      ingress: fc.array(randomRule("from"), { maxLength: 3 }),
      egress: fc.array(randomRule("to"), { maxLength: 3 }),
    },
    { requiredKeys: ["namespace", "podSelector"] },
  );
}

function policyObject(
  { namespace, ...own }: Readonly<Record<string, unknown>>,
  at: number,
): Manifest {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace, name: `policy-${at}`, uid: `uid-${at}` },
    spec: own,
  };
}

/** A rule of NetworkPolicy's shape. */
export function randomRule(side: "from" | "to"): fc.Arbitrary<object> {
  const parts = {
    [side]: fc.array(peer(), { maxLength: 3 }),
    ports: fc.array(randomPort(), { maxLength: 3 }),
  };
  return fc.record(parts, { requiredKeys: [] });
}

function peer(): fc.Arbitrary<object> {
  const block = fc
    .constantFrom(...BLOCKS)
    .chain(([cidr, inside]) =>
      fc
        .record({ except: fc.subarray([...inside]) }, { requiredKeys: [] })
        .map((except) => ({ ipBlock: { cidr, ...except } })),
    );
  return fc.oneof(
    fc.record({ podSelector: randomSelector() }),
    fc.record({ namespaceSelector: randomSelector() }),
    fc.record({ podSelector: randomSelector(), namespaceSelector: randomSelector() }),
    block,
  );
}

/** A port of NetworkPolicy's shape. */
export function randomPort(): fc.Arbitrary<object> {
  const protocol = fc.constantFrom("TCP", "UDP", "SCTP");
  const number = fc.constantFrom(79, 80, 81, 82);
  const single = fc.record(
    { protocol, port: fc.oneof(number, fc.constantFrom(...PORT_NAMES)) },
    { requiredKeys: [] },
  );
  const range = fc
    .record({ protocol, port: number, more: fc.nat(3) }, { requiredKeys: ["port", "more"] })
    .map(({ more, ...first }) => ({ ...first, endPort: first.port + more }));
  return fc.oneof({ arbitrary: single, weight: 3 }, { arbitrary: range, weight: 1 });
}
