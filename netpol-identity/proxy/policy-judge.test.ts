// What a worker's verdict on a connection is, with the policies of sample-policies.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { samplePeers, sampleRule } from "../evaluate/sample-set.ts";
import type { TunnelFlow } from "../tunnel/tunnel-parts.ts";
import { type PolicyAudit, PolicyJudge } from "./policy-judge.ts";
import { PolicyTables } from "./policy-tables.ts";
import { PolicyTelemetry } from "./policy-telemetry.ts";
import {
  DB,
  FAR_DB,
  FAR_WEB,
  LOCAL_DB,
  LOCAL_WEB,
  sampleIsolation,
  samplePolicies,
  type SamplePolicies,
  WEB,
} from "./sample-policies.ts";

function makeJudge(policies?: SamplePolicies) {
  const tables = new PolicyTables();
  const telemetry = new PolicyTelemetry();
  const audits: PolicyAudit[] = [];
  if (policies !== undefined) tables.apply(samplePolicies(policies));
  const judge = new PolicyJudge({
    tables,
    telemetry,
    onAudit: (audit) => audits.push(audit),
    isHost: (address) => address === "192.0.2.1",
  });
  const authorize = (flow: Partial<TunnelFlow> = {}): string => {
    const verdict = judge.authorize(
      {
        source: WEB,
        client: FAR_WEB,
        destination: DB,
        target: { address: LOCAL_DB, port: 80 },
        here: "target",
        ...flow,
      },
      "begins",
    );
    return verdict.kind === "allow" ? "allow" : `${verdict.kind} ${verdict.rule}`;
  };
  return { tables, telemetry, audits, judge, authorize };
}

const byLabel = sampleRule({ name: "labels", peers: samplePeers({ groups: ["web-pods"] }) });
const byIdentity = sampleRule({
  name: "accounts",
  peers: samplePeers({ identities: ["web-accounts"] }),
});
const GROUPS = {
  addresses: { "web-pods": [LOCAL_WEB, FAR_WEB] },
  identities: { "web-accounts": [WEB] },
};

test("before anything is known of policies everybody is denied", () => {
  const { authorize, tables } = makeJudge();
  assert.equal(authorize(), "deny its policies are not known yet");
  tables.apply({ sets: [], addresses: [], identities: [], pods: [] });
  assert.equal(authorize(), "deny its policies are not known yet");
  tables.apply(samplePolicies());
  assert.equal(authorize(), "allow");
});

test("a pod, a set or a group that nobody told of denies", () => {
  const unknownPod = { target: { address: "10.9.9.9", port: 80 } };
  assert.equal(makeJudge({}).authorize(unknownPod), "deny the pod is not known yet");
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  assert.equal(makeJudge({ pods }).authorize(), "deny its policies are not known yet");
  const denies = [{ ...byLabel, action: "deny" as const }];
  const sets = [sampleIsolation("db", "ingress", [sampleRule({ name: "all" })], { denies })];
  assert.equal(makeJudge({ pods, sets }).authorize(), "deny its policies are not known yet");
  const addresses = { "web-pods": [] };
  assert.equal(makeJudge({ pods, sets, addresses }).authorize(), "allow");
});

test("an address speaks for a pod's labels only with the pod's own certificate", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const byLabels = makeJudge({
    ...GROUPS,
    pods,
    sets: [sampleIsolation("db", "ingress", [byLabel])],
  });
  assert.equal(byLabels.authorize(), "allow");
  const spoofed = { source: DB };
  const denied = "deny no rule of NetworkPolicy shop/db matches";
  assert.equal(byLabels.authorize(spoofed), denied);
  assert.equal(byLabels.authorize({ source: WEB, client: FAR_DB }), denied);
});

test("a certificate is worth what it proves, wherever it comes from", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", [byIdentity])];
  const { authorize } = makeJudge({ ...GROUPS, pods, sets });
  assert.equal(authorize(), "allow");
  assert.equal(authorize({ client: "10.9.9.9" }), "allow");
  assert.equal(authorize({ client: FAR_DB }), "allow");
  assert.equal(authorize({ source: DB }), "deny no rule of NetworkPolicy shop/db matches");
});

test("what an address forbids, no foreign certificate allows", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const denies = [{ ...byLabel, action: "deny" as const }];
  const sets = [
    sampleIsolation("db", "ingress", [byIdentity, sampleRule({ name: "all" })], { denies }),
  ];
  const { authorize } = makeJudge({ ...GROUPS, pods, sets });
  assert.equal(authorize({ source: DB, client: FAR_WEB }), "deny labels");
  assert.equal(authorize({ source: DB, client: FAR_DB }), "allow");
});

test("each end is judged at its own node, and both where both are here", () => {
  const pods = { [LOCAL_DB]: { ingress: "closed" }, [LOCAL_WEB]: { egress: "shut" } };
  const sets = [sampleIsolation("closed", "ingress", []), sampleIsolation("shut", "egress", [])];
  const { authorize } = makeJudge({ pods, sets });
  const closed = "deny no rule of NetworkPolicy shop/closed matches";
  const shut = "deny no rule of NetworkPolicy shop/shut matches";
  assert.equal(authorize({ client: LOCAL_WEB }), closed);
  assert.equal(authorize({ client: LOCAL_WEB, here: "both" }), shut);
  const away = { address: FAR_DB, port: 80 };
  assert.equal(authorize({ client: LOCAL_WEB, target: away, here: "client" }), shut);
  const node = { address: "192.0.2.1", port: 6_443 };
  assert.equal(authorize({ client: LOCAL_WEB, target: node, here: "client" }), "allow");
  const toDb = { client: LOCAL_DB, source: DB, target: away, here: "client" } as const;
  assert.equal(authorize(toDb), "allow");
  // A pod of this node that is not enrolled.
  const ofDb = makeJudge({ pods: { [LOCAL_DB]: { ingress: "closed" } }, sets });
  assert.equal(ofDb.authorize({ client: LOCAL_WEB, here: "client" }), closed);
});

test("a pod may call itself, but not whoever only has its address", () => {
  const pods = { [LOCAL_DB]: { ingress: "closed" } };
  const sets = [sampleIsolation("closed", "ingress", [])];
  const { authorize } = makeJudge({ pods, sets });
  assert.equal(authorize({ source: DB, client: LOCAL_DB }), "allow");
  const denied = "deny no rule of NetworkPolicy shop/closed matches";
  assert.equal(authorize({ source: WEB, client: LOCAL_DB }), denied);
});

test("rules about requests are left to whoever reads them, and follow the policies of the moment", () => {
  const reads = sampleRule({ name: "reads", requests: [{ methods: ["GET"] }] });
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const { judge, tables, telemetry } = makeJudge({
    pods,
    sets: [sampleIsolation("db", "ingress", [reads])],
  });
  assert.ok(tables.readsRequests);
  const target = { address: LOCAL_DB, port: 80 };
  const flow = { source: WEB, client: FAR_WEB, destination: DB, target, here: "target" } as const;
  const verdict = judge.authorize(flow, "begins");
  assert.ok(verdict.kind === "inspect");
  const request = { path: "/", host: "db", header: () => undefined };
  assert.deepEqual(telemetry.take().verdicts, []);
  assert.equal(verdict.judge({ ...request, method: "GET" }).kind, "allow");
  assert.equal(verdict.judge({ ...request, method: "PUT" }).kind, "deny");
  assert.deepEqual(telemetry.take().verdicts, [
    ["ingress", "allow", "(none)", 1],
    ["ingress", "deny", "NetworkPolicy shop/db", 1],
  ]);
  tables.apply({ sets: [], addresses: [], identities: [], pods: [[LOCAL_DB, null]] });
  assert.equal(verdict.judge({ ...request, method: "GET" }).kind, "deny");
});

test("rules that audit tell of a connection once and decide nothing", () => {
  const audits = [sampleRule({ name: "ServiceAccountPolicy shop/watch", action: "audit" })];
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", [sampleRule({ name: "all" })], { audits })];
  const made = makeJudge({ pods, sets });
  assert.equal(made.authorize(), "allow");
  const target = { address: LOCAL_DB, port: 80 };
  const flow = { source: WEB, client: FAR_WEB, destination: DB, target, here: "target" } as const;
  made.judge.authorize(flow, "asked");
  assert.deepEqual(
    made.audits.map(({ rule, direction, flow: { source } }) => [rule, direction, source]),
    [["ServiceAccountPolicy shop/watch", "ingress", WEB]],
  );
  assert.deepEqual(made.telemetry.take().verdicts, [
    ["ingress", "allow", "(none)", 1],
    ["ingress", "audit", "ServiceAccountPolicy shop/watch", 1],
  ]);
});

test("rules of a namespace tell nothing of a pod's calls to its own node", () => {
  const audits = [sampleRule({ name: "ServiceAccountPolicy shop/watch", action: "audit" })];
  const pods = { [LOCAL_WEB]: { egress: "web" } };
  const sets = [sampleIsolation("web", "egress", [], { audits })];
  const { authorize, audits: told, telemetry } = makeJudge({ pods, sets });
  const target = { address: "192.0.2.1", port: 80 };
  assert.equal(authorize({ client: LOCAL_WEB, target, here: "client" }), "allow");
  assert.deepEqual([told, telemetry.take().verdicts], [[], []]);
});

test("a request is counted once, in however many ways it is read, and its audits once", () => {
  const asks = (value: string) => ({ requests: [{ headers: [{ name: "x-role", value }] }] });
  const audits = [
    sampleRule({ name: "ServiceAccountPolicy shop/evil", action: "audit", ...asks("evil") }),
    sampleRule({ name: "ServiceAccountPolicy shop/all", action: "audit" }),
  ];
  const rules = [sampleRule({ name: "get", requests: [{ methods: ["GET"] }] })];
  const denies = [sampleRule({ name: "not", action: "deny", ...asks("bad") })];
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", rules, { audits, denies })];
  const { judge, telemetry } = makeJudge({ pods, sets });
  const target = { address: LOCAL_DB, port: 80 };
  const flow = { source: WEB, client: FAR_WEB, destination: DB, target, here: "target" } as const;
  const verdict = judge.authorize(flow, "begins");
  assert.ok(verdict.kind === "inspect");
  const ask = (...readings: readonly string[]): unknown => {
    for (const [i, value] of readings.entries()) {
      const request = { method: "GET", path: "/", host: "db", header: () => value };
      const isReadAgain = (): boolean => i + 1 < readings.length;
      if (verdict.judge({ ...request, isReadAgain }).kind !== "allow") break;
    }
    return telemetry.take().verdicts.map(([, kind, policy, times]) => `${kind} ${policy} ${times}`);
  };
  const told = ["audit ServiceAccountPolicy shop/all 1", "audit ServiceAccountPolicy shop/evil 1"];
  const once = (kind: string) => new Set([`${kind} (none) 1`, ...told]);
  assert.deepEqual(new Set([ask("good,evil", "good", "evil")].flat()), once("allow"));
  assert.deepEqual(new Set([ask("evil,bad", "evil", "bad", "good")].flat()), once("deny"));
  assert.deepEqual(new Set([ask("evil")].flat()), once("allow"));
});
