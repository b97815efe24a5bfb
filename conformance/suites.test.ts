// The cases themselves are under test: they pass on a model that does everything right, and each
// fails on a model that has the bug it is there to find.

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import type { CaseResult } from "./case-result.ts";
import { type Defect, defects } from "./fake/defect.ts";
import { type FakeRun, type FakeRunOptions, makeFakeRun } from "./fake/fake-run.ts";
import { runCases } from "./runner.ts";
import { findSuite } from "./suites.ts";

const services = findSuite("services");

async function runFake(options: FakeRunOptions, ids?: readonly string[]) {
  const fake: FakeRun = makeFakeRun(options);
  const cases = services.cases.filter(({ id }) => ids === undefined || ids.includes(id));
  const { objects, ...doors } = fake;
  const run = await runCases(
    {
      ...doors,
      suite: services.name,
      cases,
      cluster: objects,
      limitMs: 30_000,
      retries: 0,
      parallel: 1,
      keep: false,
      onResult: () => {},
    },
    new AbortController().signal,
  );
  return { run, objects };
}

function lines(cases: readonly CaseResult[], kind: string): readonly string[] {
  return cases.flatMap(({ id, family, outcome }) =>
    outcome.kind === kind ? [`${id} ${family}${"why" in outcome ? `: ${outcome.why}` : ""}`] : [],
  );
}

test("every case passes on a cluster that does everything right, and leaves nothing behind", async () => {
  const { run, objects } = await runFake({});
  assert.deepEqual(lines(run.cases, "failed"), []);
  assert.deepEqual(lines(run.cases, "skipped"), []);
  assert.ok(run.cases.every(({ outcome }) => outcome.kind === "passed"));
  assert.deepEqual(objects.leftovers, []);
});

test("ids are unique and fit into the names of Services", () => {
  const ids = services.cases.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[a-z][a-z0-9-]{1,40}$/);
});

/** Which case finds which bug. Every defect is found, and every case finds one. */
const finders: Readonly<Record<Defect, readonly string[]>> = {
  "masquerades-pods": ["cluster-ip-tcp"],
  "ignores-udp": ["cluster-ip-udp"],
  "mixes-up-ports": ["cluster-ip-multi-port"],
  "serves-first-endpoint-only": ["cluster-ip-spread"],
  "no-hairpin-snat": ["cluster-ip-hairpin"],
  "ignores-host-clients": ["cluster-ip-from-node"],
  "ignores-host-endpoints": ["host-network-endpoints"],
  "drops-unused-ports": ["cluster-ip-unused-port"],
  "drops-without-endpoints": ["no-endpoints"],
  "keeps-removed-endpoints": ["endpoints-change"],
  "serves-deleted-services": ["service-deleted"],
  "ignores-proxy-name": ["service-proxy-name"],
  "ignores-headless-label": ["headless"],
  "serves-external-name": ["external-name-change"],
  "ignores-second-family": ["dual-stack"],
  "uses-unready": ["conditions", "publish-not-ready"],
  "uses-terminating": ["terminating-fallback"],
  "no-terminating-fallback": ["terminating-fallback"],
  "no-local-terminating-fallback": ["terminating-local"],
  "node-port-on-first-node-only": ["node-port"],
  "no-node-port-for-strangers": ["node-port-from-node"],
  "ignores-external-ips": ["external-ip"],
  "no-affinity": ["affinity-client-ip", "affinity-switch"],
  "affinity-per-entry": ["affinity-client-ip"],
  "affinity-forever": ["affinity-timeout"],
  "affinity-cannot-be-switched": ["affinity-switch"],
  "affinity-outlives-endpoint": ["affinity-endpoint-removed"],
  "ignores-internal-local": ["internal-policy-local"],
  "internal-local-not-for-hosts": ["internal-policy-local-from-node"],
  "internal-local-refuses": ["internal-policy-local", "internal-policy-local-from-node"],
  "keeps-client-under-cluster": ["external-policy-cluster"],
  "masquerades-under-local": ["external-policy-local"],
  "external-local-refuses": ["external-policy-local", "external-policy-local-inside"],
  "no-short-cut-for-pods": ["external-policy-local-inside"],
  "serves-ip-mode-proxy": ["load-balancer-vip"],
  "ignores-source-ranges": ["load-balancer-source-ranges"],
  "source-ranges-on-cluster-ip": ["load-balancer-source-ranges"],
  "health-check-counts-terminating": ["load-balancer-health-check"],
  "ignores-zone-hints": ["hints-zone"],
  "trusts-partial-hints": ["hints-zone"],
  "ignores-node-hints": ["hints-node"],
  "stale-udp-flows": ["udp-backend-replaced", "udp-node-port-replaced", "udp-flow-ends"],
  "no-healthz": ["healthz"],
};

suite("a case fails on the bug it is there to find", () => {
  for (const defect of defects) {
    test(`${defect}: ${finders[defect].join(", ")}`, async () => {
      const { run, objects } = await runFake({ defect }, finders[defect]);
      const passed = lines(run.cases, "passed").filter((line) => line.endsWith(" ip"));
      assert.deepEqual(passed, [], "these did not notice");
      assert.deepEqual(objects.leftovers, []);
    });
  }

  test("no case is without a bug to find", () => {
    const found = new Set(Object.values(finders).flat());
    assert.deepEqual(
      services.cases.map(({ id }) => id).filter((id) => !found.has(id)),
      [],
    );
  });
});

test("on a small cluster cases are skipped with a reason, never passed", async () => {
  const { run } = await runFake({ families: ["ip"], hosts: false });
  const skipped = lines(run.cases, "skipped");
  assert.ok(skipped.some((line) => line.startsWith("dual-stack ip: needs a dual-stack cluster")));
  assert.ok(skipped.some((line) => line.startsWith("healthz ip: needs an agent in node node-a")));
  assert.ok(run.cases.every(({ family }) => family === "ip"));
});
