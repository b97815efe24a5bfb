// An index that was kept up says what one says that was made anew, and tells of all that changed.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { type KubeObject, keyOf } from "../../lib/kube/store.ts";
import type { GroupId, PolicySet } from "./policy-set.ts";
import { PolicyIndex } from "./policy-index.ts";
import { SamplePolicies } from "./sample-policies.ts";

const NAMESPACES = ["shop", "bank"];
const KINDS = [
  "networkPolicies",
  "serviceAccountPolicies",
  "clusterNetworkPolicies",
  "meshPolicies",
  "namespaces",
  "serviceAccounts",
  "nodes",
] as const;
const SELECTORS = [
  {},
  { matchLabels: { app: "web" } },
  { matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] },
];

const labels = fc.constantFrom({}, { app: "web" }, { app: "db" }, { app: "web", tier: "front" });
const selector = fc.constantFrom(...SELECTORS);
const namespace = fc.constantFrom(...NAMESPACES);
const peer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.constant({ ipBlock: { cidr: "10.0.0.0/30" } }),
);
const account = fc.oneof(
  fc.constantFrom({ name: "web" }, {}, { selector: SELECTORS[1] }),
  selector.map((namespaceSelector) => ({ namespaceSelector, selector: SELECTORS[1] })),
);
const ports = fc.option(
  fc.array(fc.constantFrom({ port: "http" }, { port: 80, protocol: "UDP" }), { minLength: 1 }),
  { nil: undefined },
);
const rulesOf = (list: "from" | "to", one: fc.Arbitrary<object>) =>
  fc.array(
    fc
      .record({ peers: fc.array(one, { maxLength: 2, minLength: 1 }), ports })
      .map(({ peers, ports: those }) => ({ [list]: peers, ...(those && { ports: those }) })),
    { maxLength: 2 },
  );
const specWith = (one: fc.Arbitrary<object>) =>
  fc.record({
    podSelector: selector,
    ingress: rulesOf("from", one),
    egress: rulesOf("to", one),
    policyTypes: fc.constant(["Ingress", "Egress"]),
  });
const accountPeer = fc.oneof(
  peer,
  account.map((one) => ({ serviceAccounts: [one] })),
);

const clusterPeer = fc.constantFrom(
  { namespaces: {} },
  { namespaces: { matchLabels: { app: "web" } } },
  { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: "web" } } } },
);
const outer = fc.oneof(
  clusterPeer,
  fc.constantFrom(
    { nodes: { matchLabels: { app: "web" } } },
    { networks: ["10.0.0.0/30"] },
    { domainNames: ["a.example"] },
  ),
);
const clusterRules = (list: "from" | "to", one: fc.Arbitrary<object>, actions: readonly string[]) =>
  fc.array(
    fc
      .record({ action: fc.constantFrom(...actions), peers: fc.array(one, { minLength: 1 }) })
      .map(({ action, peers }) => ({ action, [list]: peers })),
    { maxLength: 2 },
  );
const clusterSpec = fc.record({
  tier: fc.constantFrom("Admin", "Baseline"),
  priority: fc.constantFrom(1, 2),
  subject: fc.oneof(
    fc.record({ namespaces: selector }),
    fc.record({ pods: fc.record({ namespaceSelector: selector, podSelector: selector }) }),
  ),
  ingress: clusterRules("from", clusterPeer, ["Accept", "Deny"]),
  egress: clusterRules("to", outer, ["Accept"]),
});

const name = fc.constantFrom("a", "b", "c");
const pod = fc.record({
  labels,
  addresses: fc.constantFrom([], ["10.0.0.1"], ["10.0.0.2", "fd00::2"], ["10.0.0.9"]),
  account: fc.constantFrom("web", "db"),
  ports: fc.constantFrom({}, { http: 80 }, { http: 8_080 }),
  hostNetwork: fc.constantFrom(false, false, false, true),
  phase: fc.constantFrom("Running", "Running", "Failed"),
});

type Change = (world: SamplePolicies) => void;

const changes: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(namespace, name, pod).map(
      ([space, key, one]): Change =>
        (world) =>
          void world.pod(`${space}/${key}`, one),
    ),
  },
  fc.tuple(namespace, name).map(
    ([space, key]): Change =>
      (world) => {
        const known = world.store.pods.get(`${space}/${key}`);
        if (known !== undefined) world.remove(known);
      },
  ),
  fc.tuple(namespace, labels).map(
    ([space, those]): Change =>
      (world) => {
        world.namespace(space, those);
      },
  ),
  fc.tuple(namespace, fc.constantFrom("web", "db"), labels).map(
    ([space, key, those]): Change =>
      (world) =>
        world.account(`${space}/${key}`, those),
  ),
  fc.tuple(namespace, name, specWith(peer)).map(
    ([space, key, spec]): Change =>
      (world) =>
        world.networkPolicy(`${space}/${key}`, spec),
  ),
  fc.tuple(namespace, name, specWith(accountPeer), fc.constantFrom("Allow", "Deny", "Audit")).map(
    ([space, key, spec, action]): Change =>
      (world) =>
        world.accountPolicy(`${space}/${key}`, { ...spec, action }),
  ),
  fc.tuple(name, clusterSpec).map(
    ([key, spec]): Change =>
      (world) =>
        world.clusterPolicy(key, spec),
  ),
  fc.tuple(name, labels, fc.constantFrom("192.0.2.1", "192.0.2.2")).map(
    ([key, those, address]): Change =>
      (world) =>
        world.node(key, those, address),
  ),
  fc.constantFrom("Open", "IdentityRequired", "Deny").map(
    (said): Change =>
      (world) => {
        world.meshPolicy({ default: said, exceptions: [{ namespaces: ["bank"] }] });
      },
  ),
  // Of any kind, the how-manieth there is.
  {
    weight: 3,
    arbitrary: fc.nat(20).map(
      (i): Change =>
        (world) =>
          removeOne(world, i),
    ),
  },
);

function removeOne({ store }: SamplePolicies, place: number): void {
  const all = KINDS.flatMap((kind): KubeObject[] => [...store[kind].values()]);
  const one = all[place % Math.max(1, all.length)];
  if (one !== undefined) store.remove(one.kind, keyOf(one));
}

const isEnrolled = ({ serviceAccount }: Pod): boolean => serviceAccount === "web";

/** All that an index says about some pods. */
function told(index: PolicyIndex, pods: readonly Pod[]): unknown {
  const sets = pods.flatMap((one) => [index.setOf(one, "ingress"), index.setOf(one, "egress")]);
  const sorted = (members: ReadonlySet<string> | undefined) => [...(members ?? [])].sort();
  const groups = sets.flatMap((set) => (set === undefined ? [] : groupsOf(set)));
  return {
    sets,
    policies: pods.map((one) => [
      index.policiesOf(one, "ingress"),
      index.policiesOf(one, "egress"),
    ]),
    addresses: groups.map((id) => [id, sorted(index.groups.addresses(id))]),
    identities: groups.map((id) => [id, sorted(index.groups.identities(id))]),
    carriers: groups.map((id) => [id, sorted(index.carriers(id))]),
  };
}

function groupsOf({
  admin,
  denies,
  audits,
  network,
  account: own,
  baseline,
}: PolicySet): GroupId[] {
  const rules = [admin, denies, audits, network?.rules ?? [], own?.rules ?? [], baseline].flat();
  return rules.flatMap(({ peers }) =>
    peers === "any" ? [] : [...peers.groups, ...peers.identities],
  );
}

const steps = fc.array(
  fc.record({
    changes: fc.array(changes, { maxLength: 4 }),
    asked: fc.subarray([0, 1, 2, 3, 4, 5]),
    isWatched: fc.boolean(),
  }),
  { maxLength: 12 },
);

test("after any changes an index says what a new one says", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const world = new SamplePolicies();
      const kept = new PolicyIndex({ trustDomain: "cluster.local" });
      kept.update(world.store, isEnrolled);
      for (const step of all) {
        const before = step.isWatched ? toldOfAll(kept, world) : undefined;
        const { revision } = kept;
        for (const change of step.changes) change(world);
        const isChanged = kept.update(world.store, isEnrolled);
        assert.equal(kept.revision > revision, isChanged);
        const pods = [...world.store.pods.values()].filter((_, i) => step.asked.includes(i));
        assert.deepEqual(told(kept, pods), told(anew(world), pods));
        if (!isChanged && before !== undefined) assert.deepEqual(toldOfAll(kept, world), before);
      }
    }),
    { numRuns: 150 },
  );
});

test("whoever has other sets than before is told of, and what is equal is the same object", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const world = new SamplePolicies();
      const kept = new PolicyIndex({ trustDomain: "cluster.local" });
      kept.update(world.store, isEnrolled);
      let before = setsOfAll(kept, world);
      for (const step of all) {
        for (const change of step.changes) change(world);
        kept.update(world.store, isEnrolled);
        const after = setsOfAll(kept, world);
        const others = new Set(kept.others.map(keyOf));
        const moved = new Set(kept.changes.flatMap(({ after: to }) => to && keyOf(to)));
        for (const [key, sets] of after) {
          const known = before.get(key);
          const isSame = sets.every((set, i) => set === known?.[i]);
          for (const [i, set] of sets.entries()) {
            assert.ok(set === known?.[i] || set?.id !== known?.[i]?.id);
          }
          assert.ok(isSame || others.has(key) || moved.has(key));
          assert.ok(known === undefined || !isSame || !others.has(key));
        }
        before = after;
      }
    }),
    { numRuns: 150 },
  );
});

test("without policies nothing of them is left", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const world = new SamplePolicies();
      const kept = new PolicyIndex({ trustDomain: "cluster.local" });
      const seen = new Set<GroupId>();
      for (const step of all) {
        for (const change of step.changes) change(world);
        kept.update(world.store, isEnrolled);
        for (const set of [...setsOfAll(kept, world).values()].flat()) {
          for (const group of set === undefined ? [] : groupsOf(set)) seen.add(group);
        }
      }
      const { networkPolicies, serviceAccountPolicies, clusterNetworkPolicies } = world.store;
      for (const those of [networkPolicies, serviceAccountPolicies, clusterNetworkPolicies]) {
        for (const policy of those.values()) world.remove(policy);
      }
      kept.update(world.store, isEnrolled);
      for (const group of seen) {
        assert.equal(kept.groups.addresses(group), undefined);
        assert.equal(kept.groups.identities(group), undefined);
      }
      assert.deepEqual(kept.domains, new Set());
    }),
    { numRuns: 300 },
  );
});

function anew({ store }: SamplePolicies): PolicyIndex {
  const index = new PolicyIndex({ trustDomain: "cluster.local" });
  index.update(store, isEnrolled);
  return index;
}

function setsOfAll(index: PolicyIndex, { store }: SamplePolicies) {
  const pods = store.pods.values().filter(({ hostNetwork, isOver }) => !hostNetwork && !isOver);
  return new Map(
    pods.map((one) => {
      return [keyOf(one), [index.setOf(one, "ingress"), index.setOf(one, "egress")]] as const;
    }),
  );
}

function toldOfAll(index: PolicyIndex, { store }: SamplePolicies): unknown {
  const pods = store.pods.values().filter(({ hostNetwork, isOver }) => !hostNetwork && !isOver);
  return told(index, pods.toArray());
}
