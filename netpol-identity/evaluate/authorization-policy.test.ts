import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { asRecord, type JsonRecord } from "../../lib/kube/api/fields.ts";
import {
  parseServiceAccountPolicy,
  type ServiceAccountPolicy,
} from "../../lib/kube/api/service-account-policy.ts";
import {
  type Conversion,
  fromAuthorizationPolicy,
  toAuthorizationPolicy,
} from "./authorization-policy.ts";

const metadata = { namespace: "shop", name: "web" };
const selector = { matchLabels: { app: "web" } };
const target = [{ group: "", kind: "Pod", selector }];
const base = { targetRefs: target, action: "ALLOW" };
const TCP = [{ protocol: "TCP" }];

const from = (spec: object): Conversion => fromAuthorizationPolicy({ metadata, spec });
const told = ({ unsaid }: Conversion): readonly string[] =>
  unsaid.map(({ field, message }) => `${field}: ${message}`);
const rulesOf = ({ object }: Conversion, list: string): unknown => asRecord(object?.["spec"])[list];
const account = (name: string, namespace?: string): object => ({
  type: "ServiceAccount",
  serviceAccount: { name, ...(namespace !== undefined && { namespace }) },
});
const spiffe = (uri: string): object => ({ type: "SPIFFE", spiffe: uri });

function ours(object: unknown): ServiceAccountPolicy {
  const parsed = parseServiceAccountPolicy(object);
  assert(parsed.kind === "ok");
  assert.deepEqual(parsed.problems, []);
  return parsed.object;
}

const to = (spec: object): Conversion =>
  toAuthorizationPolicy(ours({ metadata, spec: { podSelector: selector, ...spec } }));

test("an AuthorizationPolicy becomes an Allow, about what comes in", () => {
  const found = from(base);
  assert.deepEqual(told(found), []);
  assert.deepEqual(found.object, {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "ServiceAccountPolicy",
    metadata,
    spec: {
      podSelector: { matchLabels: { app: "web" }, matchExpressions: [] },
      policyTypes: ["Ingress"],
      action: "Allow",
      ingress: [],
    },
  });
});

const read: readonly (readonly [string, object, readonly object[]])[] = [
  ["no sources are everybody, over TCP", {}, [{ ports: TCP }]],
  ["an empty list of sources is nobody", { sources: [] }, []],
  [
    "accounts by name, and all of a namespace",
    { sources: [account("a"), account("*"), account("a", "b"), account("*", "b")] },
    [
      {
        from: [
          {
            serviceAccounts: [{ name: "a" }, {}, { name: "a", namespace: "b" }, { namespace: "b" }],
          },
        ],
        ports: TCP,
      },
    ],
  ],
  [
    "SPIFFE names of Kubernetes' form",
    { sources: [spiffe("spiffe://east.example/ns/a/sa/b")] },
    [
      {
        from: [{ serviceAccounts: [{ name: "b", namespace: "a", trustDomain: "east.example" }] }],
        ports: TCP,
      },
    ],
  ],
  [
    "ports",
    { networkAttributes: { ports: [80, 443] } },
    [
      {
        ports: [
          { protocol: "TCP", port: 80 },
          { protocol: "TCP", port: 443 },
        ],
      },
    ],
  ],
];
for (const [name, rule, expected] of read) {
  test(`of an AuthorizationPolicy: ${name}`, () => {
    const found = from({ ...base, enforcementLevel: "Network", rules: [rule] });
    assert.deepEqual(told(found), []);
    assert.deepEqual(rulesOf(found, "ingress"), expected);
    ours(found.object);
  });
}

test("a source that we cannot say is left out, and with all of them the rule", () => {
  const foreign = spiffe("spiffe://east.example/workload/7");
  const found = from({
    ...base,
    rules: [{ sources: [foreign, account("a")] }, { sources: [foreign] }],
  });
  const rule = { from: [{ serviceAccounts: [{ name: "a" }] }], ports: TCP };
  assert.deepEqual(rulesOf(found, "ingress"), [rule]);
  assert.match(told(found).join("\n"), /rules\[1\]\.sources\[0\]\.spiffe: want spiffe:\/\/DOMAIN/);
});

for (const rule of [
  null,
  { http: [] },
  { sources: "all" },
  { networkAttributes: { ports: [] } },
  { networkAttributes: { ports: [0] } },
  { sources: [{ type: "JWT" }] },
  { sources: [account("A")] },
  { sources: [account("a", "B")] },
  { sources: [{ type: "ServiceAccount", serviceAccount: { name: "a", labels: {} } }] },
]) {
  test(`the rule ${JSON.stringify(rule)} is told and left out`, () => {
    const found = from({ ...base, rules: [rule] });
    assert.deepEqual(rulesOf(found, "ingress"), []);
    assert.notDeepEqual(told(found), []);
  });
}

for (const spec of [
  { ...base, action: "DENY" },
  { ...base, enforcementLevel: "Application" },
  { ...base, targetRefs: [] },
  { ...base, targetRefs: [{ group: "", kind: "Service", name: "web" }] },
  { ...base, targetRefs: [{ group: "", kind: "Pod" }] },
  { ...base, targetRefs: [...target, ...target] },
  { ...base, rules: "all" },
]) {
  test(`nothing comes of ${JSON.stringify(spec)}`, () => {
    const found = from(spec);
    assert.equal(found.object, undefined);
    assert.notDeepEqual(told(found), []);
  });
}

const written: readonly (readonly [object, JsonRecord | undefined, RegExp?])[] = [
  [{ ports: TCP }, {}],
  [{ ports: [{ port: 80 }] }, { networkAttributes: { ports: [80] } }],
  [{}, {}, /cannot say other protocols than TCP/],
  [
    { ports: [{ port: 80 }, { port: "http" }, { port: 1, endPort: 9 }, { protocol: "UDP" }] },
    { networkAttributes: { ports: [80] } },
    /ports\[1\]: cannot say a port's name[^]*\[2\]: cannot say a range[^]*\[3\]: cannot say UDP/,
  ],
  [{ ports: [{ protocol: "UDP" }] }, undefined, /cannot say UDP/],
  [{ ports: TCP, http: [{ methods: ["GET"] }] }, undefined, /cannot say which requests/],
  [
    { ports: TCP, from: [{ serviceAccounts: [{ name: "a" }, { namespace: "b" }] }] },
    { sources: [account("a", "shop"), account("*", "b")] },
  ],
  [
    { ports: TCP, from: [{ serviceAccounts: [{ name: "a", trustDomain: "x.example" }] }] },
    { sources: [spiffe("spiffe://x.example/ns/shop/sa/a")] },
  ],
  [
    { ports: TCP, from: [{ serviceAccounts: [{ trustDomain: "x.example" }] }] },
    undefined,
    /cannot say all accounts of a trust domain/,
  ],
  [
    { ports: TCP, from: [{ serviceAccounts: [{ selector }, { namespaceSelector: {} }] }] },
    undefined,
    /cannot say accounts by labels/,
  ],
  [{ ports: TCP, from: [{ podSelector: {} }] }, undefined, /cannot say pods by labels/],
  [{ ports: TCP, from: [{ ipBlock: { cidr: "::/0" } }] }, undefined, /cannot say addresses/],
];
for (const [rule, expected, why] of written) {
  test(`as an AuthorizationPolicy says ${JSON.stringify(rule)}`, () => {
    const found = to({ ingress: [rule] });
    assert.deepEqual(rulesOf(found, "rules"), expected === undefined ? [] : [expected]);
    if (why === undefined) assert.deepEqual(told(found), []);
    else assert.match(told(found).join("\n"), why);
  });
}

test("what goes out is left out; a Deny, an Audit and other subjects cannot be said at all", () => {
  const found = to({ egress: [{}] });
  assert.notEqual(found.object, undefined);
  assert.deepEqual(told(found), ["spec.egress: cannot say what goes out"]);
  const never: readonly object[] = [
    { action: "Deny" },
    { action: "Audit" },
    { serviceAccounts: ["web"] },
    { policyTypes: ["Egress"] },
  ];
  for (const spec of never) {
    const none = to(spec);
    assert.equal(none.object, undefined);
    assert.notDeepEqual(told(none), []);
  }
});

const name = fc.constantFrom("a", "b");
const anyAccount = fc.record({ name, namespace: name }, { requiredKeys: ["namespace"] });
const anyRule = fc.record(
  {
    from: fc.tuple(fc.record({ serviceAccounts: fc.array(anyAccount, { minLength: 1 }) })),
    ports: fc.oneof(
      fc.constant(TCP),
      fc.array(fc.record({ protocol: fc.constant("TCP"), port: fc.integer({ min: 1, max: 9 }) }), {
        minLength: 1,
      }),
    ),
  },
  { requiredKeys: ["ports"] },
);

test("what both can say comes back as it was", () => {
  fc.assert(
    fc.property(fc.array(anyRule, { maxLength: 3 }), (ingress) => {
      const spec = { podSelector: selector, policyTypes: ["Ingress"], ingress };
      const before = ours({ metadata, spec });
      const there = toAuthorizationPolicy(before);
      assert.deepEqual(there.unsaid, []);
      const back = fromAuthorizationPolicy(there.object);
      assert.deepEqual(back.unsaid, []);
      assert.deepEqual(ours(back.object), before);
    }),
  );
});

test("whatever comes is read without a throw", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (rules, targetRefs) => {
      assert(from({ ...base, rules }));
      assert(from({ ...base, targetRefs }));
      assert(from({ ...base, rules: [rules, { sources: [rules] }, { networkAttributes: rules }] }));
      assert(fromAuthorizationPolicy(rules));
    }),
  );
});
