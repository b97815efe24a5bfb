// What holds of verdicts whatever the policies say.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { auditsOf, judge } from "./judge.ts";
import type { PolicySet, SetRule } from "./policy-set.ts";
import { sampleFlow, sampleGroups, sampleList, samplePeers, sampleSet } from "./sample-set.ts";
import type { Flow } from "./verdict.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const DB = "spiffe://cluster.local/ns/shop/sa/db";
const IDENTITIES = [null, WEB, DB];
const REQUESTS = ["GET", "PUT"].map((method) => ({
  method,
  path: "/",
  host: "a",
  header: () => undefined,
}));
const GROUPS = sampleGroups({
  one: ["10.0.0.1"],
  two: ["10.0.0.1", "10.0.0.2"],
  web: [WEB],
  shop: ["spiffe://cluster.local/ns/shop/sa/*"],
  nobody: [],
});

const blocks = fc.constantFrom(
  { cidr: "10.0.0.0/30", except: ["10.0.0.1/32"] },
  { cidr: "10.0.0.2/31", except: [] },
);
const someOf = <T>(...all: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...all]);
const addressPeers = fc
  .record({ groups: someOf("one", "two", "unknown"), blocks: fc.array(blocks, { maxLength: 1 }) })
  .map(samplePeers);
const identityPeers = fc
  .record({ groups: someOf("one"), identities: someOf("web", "shop", "nobody") })
  .map(samplePeers);
const ports = fc.oneof(
  fc.constant("any" as const),
  fc.array(
    fc.constantFrom(
      { protocol: "TCP", first: 80, last: 80 } as const,
      { protocol: "UDP", first: 1, last: 65_535 } as const,
    ),
    { maxLength: 2 },
  ),
);
const allPeers = fc.oneof(fc.constant("any" as const), addressPeers, identityPeers);
const plainRule = (
  actions: readonly SetRule["action"][],
  peers: fc.Arbitrary<SetRule["peers"]> = allPeers,
): fc.Arbitrary<SetRule> =>
  fc.record({
    name: fc.constantFrom("a", "b", "c"),
    action: fc.constantFrom(...actions),
    peers,
    ports,
  });
const requests = fc.constantFrom({}, {}, { requests: [{ methods: ["GET"] }] });
const ruleWith = (actions: readonly SetRule["action"][]): fc.Arbitrary<SetRule> =>
  fc.tuple(plainRule(actions), requests).map(([rule, more]) => ({ ...rule, ...more }));
const few = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { maxLength: 3 });
const lists = few(ruleWith(["accept"])).map((rules) => sampleList(...rules));
const sets: fc.Arbitrary<PolicySet> = fc
  .record(
    {
      direction: fc.constantFrom("ingress", "egress"),
      admin: few(ruleWith(["accept", "deny", "pass"])),
      denies: few(ruleWith(["deny"])),
      audits: few(ruleWith(["audit"])),
      network: lists,
      account: lists,
      baseline: few(ruleWith(["accept", "deny", "pass"])),
      otherwise: fc.constantFrom("open", "identity-required", "deny"),
    },
    { requiredKeys: ["direction", "admin", "denies", "audits", "baseline", "otherwise"] },
  )
  .map(sampleSet);
const flows: fc.Arbitrary<Flow> = fc
  .record(
    {
      protocol: fc.constantFrom("TCP", "UDP", "SCTP"),
      port: fc.constantFrom(80, 81),
      address: fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"),
      identity: fc.constantFrom(...IDENTITIES, "unproven"),
      request: fc.constantFrom(...REQUESTS),
      isSelf: fc.constant(true as const),
    },
    { requiredKeys: ["protocol", "port", "address", "identity"] },
  )
  .map(sampleFlow);
const kindOf = (set: PolicySet, flow: Flow): string => judge(set, flow, GROUPS).kind;

test("a verdict that is not open stays what it is, whatever identity or request comes to light", () => {
  fc.assert(
    fc.property(sets, flows, (set, flow) => {
      const kind = kindOf(set, flow);
      if (kind === "open") return;
      // Nothing but TCP will ever prove one.
      const later = flow.protocol === "TCP" ? IDENTITIES : [null];
      for (const identity of flow.identity === "unproven" ? later : [flow.identity]) {
        for (const request of flow.request === undefined ? REQUESTS : [flow.request]) {
          assert.equal(kindOf(set, { ...flow, identity, request }), kind);
        }
      }
    }),
    { numRuns: 3_000 },
  );
});

test("with identity and request there is always an answer", () => {
  fc.assert(
    fc.property(sets, flows, fc.constantFrom(...IDENTITIES), (set, flow, identity) => {
      const [request] = REQUESTS;
      assert.notEqual(kindOf(set, { ...flow, identity, ...(request && { request }) }), "open");
    }),
    { numRuns: 1_000 },
  );
});

test("where one rule asks for an identity, open means that some have it and some have not", () => {
  const listed = fc.record({
    plain: few(plainRule(["accept"], addressPeers)),
    asks: plainRule(["accept"], identityPeers),
    direction: fc.constantFrom("ingress", "egress"),
  });
  fc.assert(
    fc.property(listed, flows, ({ plain, asks, direction }, flow) => {
      const set = sampleSet({ direction, account: sampleList(...plain, asks) });
      if (kindOf(set, { ...flow, identity: "unproven" }) !== "open") return;
      const kinds = IDENTITIES.map((identity) => kindOf(set, { ...flow, identity }));
      assert.deepEqual([...new Set(kinds)].sort(), ["allow", "deny"]);
    }),
    { numRuns: 2_000 },
  );
});

test("the order of rules that allow or deny without order does not matter", () => {
  fc.assert(
    fc.property(sets, flows, (set, flow) => {
      const { network, account } = set;
      const other = {
        ...set,
        denies: set.denies.toReversed(),
        ...(network && { network: { ...network, rules: network.rules.toReversed() } }),
        ...(account && { account: { ...account, rules: account.rules.toReversed() } }),
      };
      assert.equal(kindOf(other, flow), kindOf(set, flow));
    }),
    { numRuns: 1_000 },
  );
});

test("a list of rules allows what one of them alone would allow, and nothing else", () => {
  const proven = fc.record({
    rules: few(ruleWith(["accept"])),
    identity: fc.constantFrom(WEB, DB),
    request: fc.constantFrom(...REQUESTS),
  });
  fc.assert(
    fc.property(proven, flows, ({ rules, identity, request }, flow) => {
      const about: Flow = { ...flow, protocol: "TCP", identity, request };
      const alone = rules.map((rule) => kindOf(sampleSet({ network: sampleList(rule) }), about));
      const expected = alone.includes("allow") || about.isSelf ? "allow" : "deny";
      assert.equal(kindOf(sampleSet({ network: sampleList(...rules) }), about), expected);
    }),
    { numRuns: 1_000 },
  );
});

test("one rule more that allows by address denies nobody", () => {
  fc.assert(
    fc.property(sets, flows, plainRule(["accept"], addressPeers), (set, flow, more) => {
      if (set.network === undefined || kindOf(set, flow) !== "allow") return;
      const network = { ...set.network, rules: [...set.network.rules, more] };
      assert.equal(kindOf({ ...set, network }, flow), "allow");
    }),
    { numRuns: 1_000 },
  );
});

test("one rule more that denies allows nobody", () => {
  fc.assert(
    fc.property(sets, flows, ruleWith(["deny"]), (set, flow, more) => {
      if (kindOf(set, flow) !== "deny") return;
      const { id: _, provenPorts: __, ...parts } = set;
      const stricter = sampleSet({ ...parts, denies: [...set.denies, more] });
      assert.equal(kindOf(stricter, flow), "deny");
    }),
    { numRuns: 1_000 },
  );
});

test("whatever names are made of, verdicts are given", () => {
  const hostile = fc.constantFrom("__proto__", "constructor", "toString", "*", "", "10.0.0.1/8");
  fc.assert(
    fc.property(sets, flows, hostile, hostile, (set, flow, address, identity) => {
      const about = { ...flow, address, identity };
      assert.ok(["allow", "deny", "open"].includes(kindOf(set, about)));
      assert.ok(Array.isArray(auditsOf(set, about, GROUPS)));
    }),
  );
});
