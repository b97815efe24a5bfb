import assert from "node:assert/strict";
import { test } from "node:test";
import { auditsOf, judge } from "./judge.ts";
import type { PolicySet, SetPeers, SetRule } from "./policy-set.ts";
import {
  sampleFlow as flow,
  sampleGroups as groupsOf,
  sampleList as list,
  samplePeers as peers,
  sampleRule,
  sampleSet as set,
} from "./sample-set.ts";
import type { Flow } from "./verdict.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const DB = "spiffe://cluster.local/ns/shop/sa/db";
const groups = groupsOf({
  near: ["10.0.0.1", "fd00::1"],
  far: ["10.9.9.9"],
  web: [WEB],
  anywhere: ["spiffe://cluster.local/ns/*/sa/web"],
  shop: ["spiffe://cluster.local/ns/shop/sa/*"],
  all: ["spiffe://cluster.local/ns/*/sa/*"],
  dotted: ["spiffe://cluster.local/ns/shop/sa/a.b"],
  nobody: [],
});
const say = (policies: PolicySet | undefined, about: Partial<Flow> = {}): string => {
  const { kind, rule: why } = judge(policies, flow(about), groups);
  return `${kind}: ${why}`;
};
const kindOf = (policies: PolicySet, about: Partial<Flow> = {}): string =>
  judge(policies, flow(about), groups).kind;
const rule = (name: string, parts: Partial<SetRule> = {}): SetRule =>
  sampleRule({ name, ...parts });
const denies = (name: string, parts: Partial<SetRule> = {}): SetRule =>
  rule(name, { action: "deny", ...parts });
const passes = (name: string, parts: Partial<SetRule> = {}): SetRule =>
  rule(name, { action: "pass", ...parts });
const nobody = list();
const byWeb = { peers: peers({ identities: ["web"] }) };
const byGet = { requests: [{ methods: ["GET"] }] };
const request = (method: string) => ({ method, path: "/", host: "a", header: () => undefined });

test("a pod that no policy selects may be called, and the reason says so", () => {
  assert.equal(say(undefined), "allow: no policy selects it");
});

test("tiers are asked in their order, and each outranks all that follow", () => {
  const [no, yes] = [denies("no"), rule("yes")];
  const cases: readonly (readonly [string, Parameters<typeof set>[0], string])[] = [
    ["the default", {}, "allow: the mesh's default is open"],
    ["the default", { otherwise: "deny" }, "deny: the mesh's default is deny"],
    ["baseline before the default", { baseline: [no] }, "deny: no"],
    ["baseline before the default", { baseline: [yes], otherwise: "deny" }, "allow: yes"],
    ["network before baseline", { network: list(yes), baseline: [no] }, "allow: yes"],
    ["account before baseline", { account: list(yes), baseline: [no] }, "allow: yes"],
    [
      "isolation before baseline",
      { network: nobody, baseline: [yes] },
      "deny: no rule of NetworkPolicy shop/web, NetworkPolicy shop/db matches",
    ],
    ["Deny before network", { denies: [no], network: list(yes) }, "deny: no"],
    ["Deny before account", { denies: [no], account: list(yes) }, "deny: no"],
    ["Deny before baseline", { denies: [no], baseline: [yes] }, "deny: no"],
    ["Accept of an admin before Deny", { admin: [rule("ok")], denies: [no] }, "allow: ok"],
    ["Accept of an admin before isolation", { admin: [rule("ok")], network: nobody }, "allow: ok"],
    [
      "Deny of an admin before all",
      { admin: [denies("never")], account: list(yes) },
      "deny: never",
    ],
    ["first match in a tier", { admin: [rule("ok"), denies("never")] }, "allow: ok"],
    ["first match in a tier", { admin: [denies("never"), rule("ok")] }, "deny: never"],
    ["first match in a tier", { baseline: [yes, no], otherwise: "deny" }, "allow: yes"],
    [
      "Pass leaves the admin's tier",
      { admin: [passes("go on"), denies("never")], network: list(yes) },
      "allow: yes",
    ],
    [
      "Pass leaves the baseline's tier",
      { baseline: [passes("go on"), rule("ok")], otherwise: "deny" },
      "deny: the mesh's default is deny",
    ],
    [
      "what does not match is passed over",
      { admin: [denies("udp", { ports: [{ protocol: "UDP", first: 80, last: 80 }] })] },
      "allow: the mesh's default is open",
    ],
  ];
  for (const [name, parts, expected] of cases) assert.equal(say(set(parts)), expected, name);
});

test("where both kinds of policies select a pod, a rule of each must match", () => {
  const [yes, both] = [list(rule("a")), { network: list(rule("a")), account: list(rule("b")) }];
  assert.equal(say(set(both)), "allow: a and b");
  assert.equal(kindOf(set({ network: yes, account: nobody })), "deny");
  assert.equal(kindOf(set({ network: nobody, account: yes })), "deny");
  assert.equal(kindOf(set({ network: nobody, account: nobody })), "deny");
});

test("a rule matches whom its peers are, by every kind of peer, in both directions", () => {
  const cases: readonly (readonly [SetPeers | "any", Partial<Flow>, boolean])[] = [
    ["any", {}, true],
    [peers({}), {}, false],
    [peers({ groups: ["near"] }), {}, true],
    [peers({ groups: ["near"] }), { address: "fd00::1" }, true],
    [peers({ groups: ["far"] }), {}, false],
    [peers({ groups: ["far", "near"] }), {}, true],
    [peers({ groups: ["never heard of"] }), {}, false],
    [peers({ groups: ["__proto__"] }), {}, false],
    [peers({ blocks: [{ cidr: "10.0.0.0/8", except: [] }] }), {}, true],
    [peers({ blocks: [{ cidr: "0.0.0.0/0", except: [] }] }), {}, true],
    [peers({ blocks: [{ cidr: "0.0.0.0/0", except: [] }] }), { address: "fd00::1" }, false],
    [peers({ blocks: [{ cidr: "::/0", except: [] }] }), {}, false],
    [peers({ blocks: [{ cidr: "10.0.0.0/30", except: ["10.0.0.1/32"] }] }), {}, false],
    [peers({ blocks: [{ cidr: "10.0.0.0/30", except: ["10.0.0.2/31"] }] }), {}, true],
    [peers({ blocks: [{ cidr: "10.0.0.2/31", except: [] }] }), {}, false],
    [
      peers({ blocks: [{ cidr: "fd00::/126", except: ["fd00::2/127"] }] }),
      { address: "fd00::1" },
      true,
    ],
    [
      peers({ blocks: [{ cidr: "fd00::/126", except: ["fd00::/127"] }] }),
      { address: "fd00::1" },
      false,
    ],
    // What one block excepts another may hold.
    [
      peers({
        blocks: [
          { cidr: "10.0.0.0/24", except: ["10.0.0.1/32"] },
          { cidr: "10.0.0.1/32", except: [] },
        ],
      }),
      {},
      true,
    ],
    [peers({ identities: ["web"] }), { identity: WEB }, true],
    [peers({ identities: ["web"] }), { identity: DB }, false],
    [peers({ identities: ["web"] }), { identity: null }, false],
    [peers({ identities: ["anywhere"] }), { identity: WEB }, true],
    [peers({ identities: ["shop"] }), { identity: DB }, true],
    [peers({ identities: ["all"] }), { identity: DB }, true],
    [peers({ identities: ["all"] }), { identity: "spiffe://other/ns/shop/sa/db" }, false],
    [peers({ identities: ["nobody", "never heard of"] }), { identity: WEB }, false],
    [peers({ groups: ["near"], identities: ["web"] }), { identity: DB }, true],
  ];
  for (const direction of ["ingress", "egress"] as const) {
    for (const [who, about, isMatch] of cases) {
      const one = set({ direction, network: list(rule("it", { peers: who })) });
      const told = `${direction} ${JSON.stringify(who)} ${JSON.stringify(about)}`;
      assert.equal(kindOf(one, about), isMatch ? "allow" : "deny", told);
    }
  }
});

test("names of identities are compared whole: a dot is a dot, and a star of theirs is nobody's", () => {
  const one = set({ account: list(rule("it", { peers: peers({ identities: ["dotted"] }) })) });
  assert.equal(kindOf(one, { identity: "spiffe://cluster.local/ns/shop/sa/a.b" }), "allow");
  assert.equal(kindOf(one, { identity: "spiffe://cluster.local/ns/shop/sa/axb" }), "deny");
  const wide = set({ account: list(rule("it", { peers: peers({ identities: ["anywhere"] }) })) });
  for (const identity of [
    "spiffe://cluster.local/ns/*/sa/web",
    `${WEB}/`,
    `${WEB}?a`,
    WEB.toUpperCase(),
    "",
    "__proto__",
  ]) {
    assert.equal(kindOf(wide, { identity }), "deny", identity);
  }
});

test("a rule matches what its ports are: protocols are kept apart, and ICMP has no port", () => {
  const web = [{ protocol: "TCP", first: 80, last: 80 }] as const;
  const range = [{ protocol: "UDP", first: 1_000, last: 2_000 }] as const;
  const cases: readonly (readonly [SetRule["ports"], Partial<Flow>, boolean])[] = [
    ["any", { protocol: "ICMP", port: 0 }, true],
    ["any", { protocol: "SCTP" }, true],
    [[], {}, false],
    [web, {}, true],
    [web, { port: 81 }, false],
    [web, { protocol: "UDP" }, false],
    [web, { protocol: "SCTP" }, false],
    [web, { protocol: "ICMP", port: 0 }, false],
    [[{ protocol: "TCP", first: 0, last: 65_535 }], { protocol: "ICMP", port: 0 }, false],
    [range, { protocol: "UDP", port: 999 }, false],
    [range, { protocol: "UDP", port: 1_000 }, true],
    [range, { protocol: "UDP", port: 2_000 }, true],
    [range, { protocol: "UDP", port: 2_001 }, false],
    [[...web, ...range], { protocol: "UDP", port: 1_500 }, true],
  ];
  for (const direction of ["ingress", "egress"] as const) {
    for (const [ports, about, isMatch] of cases) {
      const one = set({ direction, network: list(rule("it", { ports })) });
      const told = `${JSON.stringify(ports)} ${JSON.stringify(about)}`;
      assert.equal(kindOf(one, about), isMatch ? "allow" : "deny", told);
    }
  }
});

test("a port under a rule about identities is closed to whatever proves none", () => {
  const ports = [{ protocol: "TCP", first: 80, last: 80 }] as const;
  const one = set({
    account: list(rule("by web", { ...byWeb, ports }), rule("by address", { ports })),
  });
  assert.equal(say(one), "deny: its port needs a certificate");
  assert.equal(say(one, { identity: WEB }), "allow: by web");
  assert.equal(say(one, { identity: DB }), "allow: by address");
  assert.equal(say(one, { identity: "unproven" }), "open: its port needs a certificate");
  const admin = [rule("ok")];
  assert.equal(say({ ...one, admin }), "deny: its port needs a certificate");
  assert.equal(say({ ...one, admin: [denies("never")] }), "deny: never");
  assert.equal(say({ ...one, admin: [denies("never")] }, { identity: "unproven" }), "deny: never");
});

test("a rule about identities closes its ports to what is no TCP", () => {
  const one = set({ account: list(rule("by web", byWeb), rule("by address")) });
  for (const protocol of ["UDP", "SCTP"] as const) {
    assert.equal(kindOf(one, { protocol, identity: "unproven" }), "deny");
  }
  assert.equal(kindOf(one, { protocol: "ICMP", port: 0 }), "allow");
});

test("a Deny by identity denies whatever proves none, where it comes in", () => {
  const one = set({ denies: [denies("not web", byWeb)] });
  assert.equal(kindOf(one), "deny");
  assert.equal(kindOf(one, { identity: WEB }), "deny");
  assert.equal(kindOf(one, { identity: DB }), "allow");
  assert.equal(kindOf(one, { identity: "unproven" }), "open");
  assert.equal(kindOf({ ...one, direction: "egress", provenPorts: [] }), "allow");
});

test("what needs a certificate is open until there is one", () => {
  const one = set({ direction: "egress", account: list(rule("by web", byWeb)) });
  const asked = judge(one, flow({ identity: "unproven" }), groups);
  assert.deepEqual(asked, { kind: "open", needs: "identity", rule: "by web" });
  const empty = { peers: peers({ identities: ["nobody"] }) };
  const never = set({ direction: "egress", account: list(rule("by nobody", empty)) });
  assert.equal(kindOf(never, { identity: "unproven" }), "deny");
  assert.equal(kindOf(set({ otherwise: "identity-required" })), "deny");
  assert.equal(kindOf(set({ otherwise: "identity-required" }), { identity: DB }), "allow");
  assert.equal(kindOf(set({ otherwise: "identity-required" }), { identity: "unproven" }), "open");
});

test("what needs a request is open until there is one", () => {
  const one = set({ account: list(rule("get", byGet)) });
  assert.deepEqual(judge(one, flow(), groups), { kind: "open", needs: "request", rule: "get" });
  assert.equal(kindOf(one, { request: request("GET") }), "allow");
  assert.equal(kindOf(one, { request: request("PUT") }), "deny");
  const both = set({ account: list(rule("get", { ...byGet, ...byWeb })) });
  const asked = judge(both, flow({ identity: "unproven" }), groups);
  assert.equal(asked.kind === "open" && asked.needs, "identity");
  assert.equal(kindOf(both, { identity: WEB }), "open");
  assert.equal(kindOf(both, { identity: DB }), "deny");
});

test("an open rule whose match changes nothing leaves the verdict certain", () => {
  const get = rule("get", byGet);
  assert.equal(say(set({ account: list(get, rule("any")) })), "allow: any");
  assert.equal(kindOf(set({ account: list(get), network: nobody })), "deny");
  assert.equal(
    say(set({ denies: [denies("no get", byGet)], network: nobody })).slice(0, 4),
    "deny",
  );
  assert.equal(kindOf(set({ denies: [denies("no get", byGet)] })), "open");
  assert.equal(kindOf(set({ admin: [passes("get", byGet), rule("ok")] })), "allow");
  assert.equal(kindOf(set({ admin: [passes("get", byGet), denies("no")] })), "open");
  assert.equal(
    kindOf(set({ admin: [passes("get", byGet), denies("no")], network: nobody })),
    "deny",
  );
  // A Deny and an allow, both open: none, one or the other may match.
  assert.equal(kindOf(set({ denies: [denies("no get", byGet)], account: list(get) })), "open");
});

test("a pod's call to itself is judged by admins and the baseline alone", () => {
  const isSelf = true;
  assert.equal(say(set({ network: nobody }), { isSelf }), "allow: a pod may call itself");
  assert.equal(kindOf(set({ account: nobody, denies: [denies("no")] }), { isSelf }), "allow");
  assert.equal(kindOf(set({ account: list(rule("by web", byWeb)) }), { isSelf }), "allow");
  assert.equal(kindOf(set({ otherwise: "deny" }), { isSelf }), "allow");
  assert.equal(say(set({ admin: [denies("never")], network: nobody }), { isSelf }), "deny: never");
  assert.equal(say(set({ baseline: [denies("never")] }), { isSelf }), "deny: never");
});

test("audits tell of rules that match for certain, and change no verdict", () => {
  const audits = [rule("all", { action: "audit" }), rule("get", { action: "audit", ...byGet })];
  const one = set({ audits, network: nobody });
  assert.deepEqual(auditsOf(one, flow(), groups), ["all"]);
  assert.deepEqual(auditsOf(one, flow({ request: request("GET") }), groups), ["all", "get"]);
  assert.deepEqual(auditsOf(undefined, flow(), groups), []);
  assert.equal(kindOf(one), "deny");
  assert.deepEqual(one.provenPorts, []);
});
