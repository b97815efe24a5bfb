// A report as people read it, and the part of it that is about one subject.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { IdentityReport } from "../../netpol-identity/apply/identity-report.ts";
import { GREEN_REPORT } from "../check/sample-identities.ts";
import { formatAge, formatIdentities } from "./identity-text.ts";
import { narrowReport } from "./narrow-report.ts";

const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const text = (more: Partial<IdentityReport> = {}): string =>
  formatIdentities({ ...GREEN_REPORT, ...more });

test("a certificate is told with its age, its end, its renewal, its serial and its issuer", () => {
  assert.match(text(), new RegExp(`${WEB} +valid +1h +23h +11h +01 +CN=root`));
});

test("an identity without one tells why", () => {
  const identities = [{ identity: WEB, state: "failed", lastError: "ECONNREFUSED" }] as const;
  assert.match(text({ identities }), /sa\/web +failed +- .* ECONNREFUSED/);
  assert.match(text({ identities: [] }), /none: nobody here has an identity to prove/);
});

test("processes of the node have a row of their own", () => {
  assert.doesNotMatch(text(), /processes of the node/);
  const identity = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";
  assert.match(text({ host: { identity } }), /sa\/innermesh-node +the agent's ServiceAccount/);
  assert.match(text({ host: { identity, lacks: "no certificate: x" } }), /NOT PROVEN: no certif/);
});

test("a pod tells its mode, identity, interface and rule, or first why it has none", () => {
  assert.match(text(), /shop\/web-0 +permissive +spiffe:\S+ +veth1 +label innermesh/);
  assert.match(text(), /lab\/tester +off +- +veth2 +the mesh's default is off/);
  const [pod = assert.fail()] = GREEN_REPORT.pods;
  const lost = { ...pod, addresses: [{ address: "10.71.1.2" }], lacks: "no interface is known" };
  assert.match(text({ pods: [lost] }), /\(not bound\) +NO IDENTITY: no interface is known; label/);
});

test("problems, bans and peers have a heading only when there are some", () => {
  assert.doesNotMatch(text(), /problems|banned|enrolled elsewhere\n/);
  const whole = text({
    problems: ["Namespace shop: want off"],
    exposure: ["a debugger listens"],
    bans: [{ node: "node-9", untilMs: 0 }],
    peers: [{ address: "10.71.2.2", identity: WEB }],
  });
  assert.match(whole, /problems\n +Namespace shop: want off\n +keys .* a debugger listens/);
  assert.match(whole, /banned nodes\n +node-9 +issued until 1970/);
  assert.match(whole, /enrolled elsewhere\n +10\.71\.2\.2 +spiffe/);
});

test("who believes nobody says so", () => {
  assert.match(text({ trust: [] }), /trusted roots\n +none: nobody is believed/);
});

test("a report is narrowed to a pod with its identity, or an identity with its pods", () => {
  for (const subject of ["shop/web-0", WEB]) {
    const narrow = narrowReport(GREEN_REPORT, subject) ?? assert.fail(subject);
    assert.deepEqual(
      [narrow.pods.map(({ pod }) => pod), narrow.identities.map(({ identity }) => identity)],
      [["shop/web-0"], [WEB]],
    );
  }
  assert.deepEqual(narrowReport(GREEN_REPORT, "lab/tester")?.identities, []);
  assert.equal(narrowReport(GREEN_REPORT, "shop/none"), undefined);
  const host = { identity: "spiffe://cluster.local/ns/kube-system/sa/innermesh-node" };
  const withHost = { ...GREEN_REPORT, host };
  assert.equal(narrowReport(withHost, WEB)?.host, undefined);
  assert.deepEqual(narrowReport(withHost, host.identity)?.host, host);
  assert.equal(narrowReport(GREEN_REPORT, "tester"), undefined);
});

test("durations have two units at most", () => {
  const cases: readonly (readonly [durationMs: number, text: string])[] = [
    [0, "0s"],
    [59_999, "59s"],
    [61_000, "1m 1s"],
    [3_600_000, "1h"],
    [3_605_000, "1h"],
    [90_061_000, "1d 1h"],
    [-120_000, "-2m"],
  ];
  for (const [durationMs, expected] of cases) assert.equal(formatAge(durationMs), expected);
});
