// What people are told of identities: all that decides, and no key.

import assert from "node:assert/strict";
import { generateKeyPairSync, type X509Certificate } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import { encodeCsr } from "../../lib/x509/csr.ts";
import { encodePem } from "../../lib/x509/pem.ts";
import { readEnrolmentLabels } from "../plan/enrolment.ts";
import { sampleAgent, SampleCluster } from "../plan/sample-cluster.ts";
import { TunnelPlanner } from "../plan/tunnel-planner.ts";
import { checkCredential } from "./credential-check.ts";
import { type IdentityReport, reportIdentities } from "./identity-report.ts";
import type { KeyState } from "./key-entry.ts";
import { makeSampleAuthority, SAMPLE_DOMAIN } from "./sample-authority.ts";
import type { PolicyState } from "./policy-keeper.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const WEB = "spiffe://cluster.local/ns/shop/sa/web";

const cluster = new SampleCluster()
  .labelNamespace("shop", "permissive")
  .labelServiceAccount("shop/strict", "strict")
  .putPods(
    { name: "bound", addresses: ["10.71.1.2"] },
    { name: "unbound", addresses: ["10.71.1.3"] },
    { name: "odd", addresses: ["10.71.1.9"] },
    { name: "starting" },
    { name: "waits", serviceAccount: "waits", addresses: ["10.71.1.4"] },
    { name: "refused", serviceAccount: "strict", addresses: ["10.71.1.5"] },
    { name: "twin-a", addresses: ["10.71.1.6"] },
    { name: "twin-b", addresses: ["10.71.1.6"] },
    { name: "ambient", addresses: ["10.71.1.7"], isAmbient: true },
    { name: "host", hostNetwork: true },
    { name: "over", phase: "Succeeded" },
    { name: "far", node: "node-2", addresses: ["10.71.2.2"] },
    { name: "plain", namespace: "lab", addresses: ["10.71.1.8"] },
  );
cluster.store.put(sampleAgent("node-2"));

const authority = makeSampleAuthority(NOW_MS, DAY_MS);
const roots = [...authority.bundles].map(
  ([domain, certificates]) => [domain, certificates.map(pemOf)] as const,
);

const certified = (identity: string): KeyState => ({
  identity,
  state: "valid",
  certificate: {
    serial: "0A",
    issuer: "CN=Sample",
    issuedMs: NOW_MS,
    notAfterMs: NOW_MS + DAY_MS,
    nextRenewalMs: NOW_MS + DAY_MS / 2,
  },
});

const kernel: PolicyState = {
  bindings: ["10.71.1.2", "10.71.1.4", "10.71.1.5", "10.71.1.6"].map((address) => ({
    uid: `uid-${{ "10.71.1.2": "bound", "10.71.1.4": "waits", "10.71.1.5": "refused" }[address]}`,
    address,
    link: { index: 5, name: "veth5", kind: "veth", address: "", master: 4 },
  })),
  problems: ["Cannot bind pod address 10.71.1.3: no host route"],
  unsupported: new Map([["10.71.1.9", { uid: "uid-odd", why: "its route leads to mv0" }]]),
};

function report(peers: boolean, more: object = {}): IdentityReport {
  const settings = { nodeName: "node-1", trustDomain: SAMPLE_DOMAIN, meshDefault: "off" } as const;
  const plan = new TunnelPlanner(cluster.store, settings).plan(0);
  const state = {
    ...plan,
    ...more,
    keys: [
      certified(WEB),
      { identity: `${WEB.slice(0, -3)}waits`, state: "waiting" },
      { identity: `${WEB.slice(0, -3)}strict`, state: "failed", lastError: "no such pod" },
    ] as const,
    kernel,
    dropped: { spoofed: 1, closed: 2 },
    trust: { bundles: new Map(roots), bans: [{ node: "node-9", untilMs: NOW_MS }] },
  };
  return reportIdentities(
    {
      node: "node-1",
      trustDomain: SAMPLE_DOMAIN,
      meshDefault: "off",
      atMs: NOW_MS,
      pods: cluster.store.pods.values(),
      labels: readEnrolmentLabels(cluster.store, "off"),
      exposure: [],
      state,
    },
    { peers },
  );
}

const podOf = (name: string) =>
  report(false).pods.find(({ pod }) => pod === name) ?? assert.fail(`no ${name}`);

test("of this node, every pod that is not over is told, sorted", () => {
  assert.deepEqual(
    report(false).pods.map(({ pod }) => pod.replace("shop/", "")),
    [
      "lab/plain",
      "ambient",
      "bound",
      "host",
      "odd",
      "refused",
      "starting",
      "twin-a",
      "twin-b",
    ].concat(["unbound", "waits"]),
  );
});

const lacks: readonly (readonly [pod: string, lacks: RegExp | undefined])[] = [
  ["shop/bound", undefined],
  ["shop/odd", /^nothing proves who is at 10\.71\.1\.9: its route leads to mv0$/],
  ["shop/starting", /^it has no address yet$/],
  ["shop/twin-a", /^another pod claims 10\.71\.1\.6, too$/],
  ["shop/waits", /^no certificate: the authority has not answered yet$/],
  ["shop/refused", /^no certificate: no such pod$/],
  ["shop/unbound", /^no interface is known for 10\.71\.1\.3$/],
];
for (const [name, why] of lacks) {
  test(`${name} lacks ${why === undefined ? "nothing" : why.source}`, () => {
    const pod = podOf(name);
    if (why === undefined) assert.equal(pod.lacks, undefined);
    else assert.match(pod.lacks ?? "", why);
  });
}

const rules: readonly (readonly [pod: string, mode: string, rule: RegExp])[] = [
  ["shop/bound", "permissive", /=permissive of Namespace shop$/],
  ["shop/refused", "strict", /=strict of ServiceAccount shop\/strict$/],
  ["lab/plain", "off", /^the mesh's default is off$/],
  ["shop/host", "off", /shares its node's network/],
  ["shop/ambient", "off", /ambient data plane/],
];
for (const [name, mode, rule] of rules) {
  test(`${name} is ${mode}, and the rule is told`, () => {
    const pod = podOf(name);
    assert.equal(pod.mode, mode);
    assert.match(pod.rule, rule);
    assert.equal(pod.identity === undefined, mode === "off");
  });
}

test("an address tells its interface, and whether that is on a bridge", () => {
  assert.deepEqual(podOf("shop/bound").addresses, [
    { address: "10.71.1.2", interface: "veth5", isBridged: true },
  ]);
  assert.deepEqual(podOf("shop/unbound").addresses, [{ address: "10.71.1.3" }]);
});

test("roots are told by fingerprint and end, bans by node, problems as sentences", () => {
  const { trust, bans, problems, dropped } = report(false);
  const [root] = authority.bundles.get(SAMPLE_DOMAIN) ?? [];
  assert.deepEqual(
    trust.map(({ domain, fingerprint, notAfterMs }) => [domain, fingerprint, notAfterMs]),
    [[SAMPLE_DOMAIN, root?.fingerprint256, root?.validToDate.getTime()]],
  );
  assert.deepEqual(bans, [{ node: "node-9", untilMs: NOW_MS }]);
  assert.match(problems[0] ?? "", /^Pod shop\/twin-a: status\.podIPs: .* claim 10\.71\.1\.6/);
  assert.deepEqual(problems.slice(1), kernel.problems);
  assert.deepEqual(dropped, { spoofed: 1, closed: 2 });
});

test("peers are counted, and listed only when somebody asks", () => {
  // Ambient's pod of this node takes its tunnels from ambient: to us it is one of elsewhere.
  assert.equal(report(false).peerCount, 2);
  assert.equal(report(false).peers, undefined);
  assert.deepEqual(
    report(true)
      .peers?.map(({ address }) => address)
      .sort(),
    ["10.71.1.7", "10.71.2.2"],
  );
});

test("whatever else the state carries, no key gets into the report", () => {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const chain = authority.sign(encodeCsr(key, WEB), WEB, NOW_MS);
  const trust = { bundles: authority.bundles, nowMs: NOW_MS };
  const { credential } = checkCredential(chain, { key, identity: WEB }, trust);
  assert.match(JSON.stringify(credential), /PRIVATE KEY/);
  const whole = report(true, { credentials: new Map([[WEB, credential]]), credential });
  for (const text of [JSON.stringify(whole), inspect(whole, { depth: Infinity })]) {
    assert.doesNotMatch(text, /PRIVATE KEY/);
    assert(!text.includes(credential.key.split("\n")[1] ?? assert.fail("no key")));
  }
});

function pemOf({ raw }: X509Certificate): string {
  return encodePem(raw);
}

test("processes of the node have an identity where its agent is a pod, and lack what it lacks", () => {
  assert.equal(report(false).host, undefined);
  const lackOf = (identity: string, more: object = {}): string | undefined => {
    const host = { identity, namespace: "", pod: "node-1", uid: "node-1", mode: "permissive" };
    return (report(false, { host, ...more }).host ?? assert.fail()).lacks;
  };
  const peers = new Map([["10.71.2.2", { identity: WEB, uid: "" }]]);
  assert.equal(lackOf(WEB, { peers }), undefined);
  assert.equal(lackOf(`${WEB.slice(0, -3)}strict`, { peers }), "no certificate: no such pod");
  assert.match(lackOf(WEB, { peers: new Map() }) ?? "", /nobody elsewhere is enrolled/);
});
