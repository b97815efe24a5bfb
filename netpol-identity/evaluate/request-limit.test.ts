// A pod whose rules ask too much of requests: what is closed, and what is not.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { auditsOf, judge } from "./judge.ts";
import { MOST_CONDITIONS } from "./request-limit.ts";
import { SamplePolicies } from "./sample-policies.ts";
import { sampleFlow } from "./sample-set.ts";
import type { Flow, Verdict } from "./verdict.ts";

const paths = (count: number, prefix = "p"): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({ path: { type: "Exact", value: `/${prefix}${i}` } }));
const on = (port: number): object => ({ ports: [{ port }] });
const request = { method: "GET", path: "/p0", host: "", header: () => undefined };

/** Rules of 64 conditions each. */
const rules = (conditions: number, port = 8_080): readonly object[] =>
  Array.from({ length: Math.ceil(conditions / 64) }, (_, i) => ({
    name: `r${i}`,
    ...on(port),
    http: paths(Math.min(64, conditions - 64 * i)),
  }));

class Rig {
  readonly objects = new SamplePolicies();
  readonly pod: Pod;

  constructor(...specs: readonly object[]) {
    this.objects.namespace("shop");
    this.pod = this.objects.pod("shop/web", { addresses: ["10.0.0.9"] });
    specs.forEach((spec, i) => {
      this.objects.accountPolicy(`shop/p${i}`, { podSelector: {}, ...spec });
    });
  }

  judge(flow: Partial<Flow>): Verdict {
    this.objects.update();
    return judge(this.set, sampleFlow({ port: 8_080, ...flow }), this.objects.index.groups);
  }

  get set() {
    this.objects.update();
    return this.objects.set(this.pod);
  }
}

test("as many conditions as a pod may have are judged; with one more their ports are closed", () => {
  const most = new Rig({ ingress: rules(MOST_CONDITIONS) });
  assert.equal(most.judge({ request }).kind, "allow");
  assert.equal(most.set.conditions, undefined);
  const beyond = new Rig({ ingress: rules(MOST_CONDITIONS + 1) });
  assert.deepEqual(beyond.judge({ request }), {
    kind: "deny",
    rule:
      "its rules have too many conditions on requests, " +
      "most of them ServiceAccountPolicy shop/p0 ingress[0] r0",
  });
  assert.equal(beyond.set.conditions, MOST_CONDITIONS + 1);
  assert.deepEqual(beyond.set.provenPorts, []);
});

test("all parts of all policies that select the pod count, each time", () => {
  const part = {
    methods: ["GET", "PUT"],
    hosts: ["a.example"],
    headers: [{ name: "x-a" }, { name: "x-b", value: "c" }],
  };
  const ingress = [{ ...on(8_080), http: [{ ...part, ...paths(1)[0] }, part] }];
  const counted = rules(MOST_CONDITIONS - 10, 80);
  const fits = new Rig({ ingress }, { ingress: rules(1) }, { ingress: counted });
  assert.equal(fits.set.conditions, MOST_CONDITIONS + 2);
  const audit = { action: "Audit", ingress: rules(MOST_CONDITIONS) };
  assert.equal(new Rig(audit).set.conditions, undefined);
  assert.equal(new Rig(audit, { action: "Deny", ingress: rules(1) }).set.conditions, 4_097);
  const template = [{ path: { type: "Template", value: "/{*}/b/{**}" } }];
  const templates = { ingress: [{ ...on(8_080), http: template }] };
  assert.equal(new Rig(templates, { ingress: rules(4_094) }).set.conditions, 4_097);
});

test("beyond it other ports, the pod itself and the admin's word are as they were", () => {
  const ingress = [...rules(MOST_CONDITIONS + 1), on(9_090)];
  const rig = new Rig({ ingress });
  assert.equal(rig.judge({ port: 9_090 }).kind, "allow");
  assert.equal(rig.judge({ port: 7_070 }).kind, "deny");
  assert.equal(rig.judge({ isSelf: true }).kind, "allow");
  const pods = { namespaces: {} };
  const accept = { action: "Accept", from: [pods] };
  rig.objects.clusterPolicy("admin", {
    tier: "Admin",
    priority: 1,
    subject: pods,
    ingress: [accept],
  });
  rig.objects.pod("shop/front", { addresses: ["10.0.0.1"] });
  assert.equal(rig.judge({}).kind, "allow");
  assert.equal(rig.judge({ address: "10.0.0.2" }).kind, "deny");
});

test("rules that deny or audit requests open nothing by being too many", () => {
  const allow = { ingress: [{}] };
  const deny = new Rig(allow, { action: "Deny", ingress: rules(MOST_CONDITIONS + 1) });
  assert.equal(deny.judge({ request: { ...request, path: "/other" } }).kind, "deny");
  assert.equal(deny.judge({ port: 80 }).kind, "allow");
  const audit = new Rig(allow, { action: "Audit", ingress: rules(MOST_CONDITIONS + 1) });
  assert.equal(audit.judge({ request }).kind, "allow");
  const { groups } = audit.objects.index;
  assert.deepEqual(auditsOf(audit.set, sampleFlow({ port: 8_080, request }), groups), []);
});

test("a rule about all ports closes them all", () => {
  const http = paths(64);
  const ingress = Array.from({ length: 65 }, () => ({ http }));
  const rig = new Rig({ ingress });
  for (const port of [1, 443, 65_535]) assert.equal(rig.judge({ port }).kind, "deny");
});
