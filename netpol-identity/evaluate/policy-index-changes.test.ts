// An index that was kept up says what one says that was made anew.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { GroupId, PolicySet } from "./policy-set.ts";
import { PolicyIndex } from "./policy-index.ts";
import { SamplePolicies } from "./sample-policies.ts";

const NAMESPACES = ["shop", "bank"];
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
  fc.tuple(namespace, name).map(
    ([space, key]): Change =>
      (world) => {
        const known = world.store.networkPolicies.get(`${space}/${key}`);
        if (known !== undefined) world.remove(known);
      },
  ),
  fc.constantFrom("Open", "IdentityRequired", "Deny").map(
    (said): Change =>
      (world) => {
        world.meshPolicy({ default: said, exceptions: [{ namespaces: ["bank"] }] });
      },
  ),
);

const isEnrolled = ({ serviceAccount }: Pod): boolean => serviceAccount === "web";

/** All that an index says about some pods. */
function told(index: PolicyIndex, pods: readonly Pod[]): unknown {
  const sets = pods.flatMap((one) => [index.setOf(one, "ingress"), index.setOf(one, "egress")]);
  const sorted = (members: ReadonlySet<string> | undefined) => [...(members ?? [])].sort();
  const groups = sets.flatMap((set) => (set === undefined ? [] : groupsOf(set)));
  return {
    sets,
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

test("after any changes an index says what a new one says", () => {
  const steps = fc.array(
    fc.record({
      changes: fc.array(changes, { maxLength: 4 }),
      asked: fc.subarray([0, 1, 2, 3, 4, 5]),
      isWatched: fc.boolean(),
    }),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const world = new SamplePolicies();
      const kept = new PolicyIndex({ trustDomain: "cluster.local" });
      kept.update(world.store, isEnrolled);
      for (const step of all) {
        const before = step.isWatched ? toldOfAll(kept, world) : undefined;
        for (const change of step.changes) change(world);
        const isChanged = kept.update(world.store, isEnrolled);
        const anew = new PolicyIndex({ trustDomain: "cluster.local" });
        anew.update(world.store, isEnrolled);
        const pods = [...world.store.pods.values()].filter((_, i) => step.asked.includes(i));
        assert.deepEqual(told(kept, pods), told(anew, pods));
        if (!isChanged && before !== undefined) assert.deepEqual(toldOfAll(kept, world), before);
      }
    }),
    { numRuns: 150 },
  );
});

function toldOfAll(index: PolicyIndex, { store }: SamplePolicies): unknown {
  const pods = store.pods.values().filter(({ hostNetwork, isOver }) => !hostNetwork && !isOver);
  return told(index, pods.toArray());
}
