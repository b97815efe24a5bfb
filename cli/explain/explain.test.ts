// What `innermesh explain` says about the cluster in testdata: a Service with every entry point,
// and a younger one that claims an address of the first.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { wholeTransaction } from "../../service-proxy/plan/changes.ts";
import { takeSnapshot } from "../snapshot.ts";
import { explainAddress, formatAddressReport, parseQuestion } from "./address-report.ts";
import { FlowCost } from "./flow-cost.ts";
import type { PlannedNode } from "./planned-node.ts";
import { explainService, type ServiceReport } from "./service-report.ts";
import { formatServiceReport } from "./service-text.ts";

const TESTDATA = join(import.meta.dirname, "testdata");

async function node(more: readonly string[] = []): Promise<PlannedNode> {
  const flags = [`--source=dir:${TESTDATA}/cluster`, "--hostname-override=node-1", ...more];
  return { ...(await takeSnapshot(flags)), kernel: undefined };
}

const planned = await node();

async function explain(key: string, from = planned): Promise<ServiceReport> {
  return explainService(from, await FlowCost.of(from), key) ?? assert.fail(`no ${key}`);
}

describe("explain service", () => {
  test("golden: a Service with every entry point", async () => {
    const golden = readFileSync(join(TESTDATA, "every-entry-point.txt"), "utf8");
    assert.equal(formatServiceReport(await explain("default/web")), golden);
  });
  test("an address that an older Service has is not served, and the older one is named", async () => {
    const report = await explain("default/web2");
    const lost = report.ports[0]?.entries.find(({ kind }) => kind === "externalIP");
    assert.equal(lost?.servedFor, "default/web");
    assert.match(report.problems[0]?.message ?? "", /already served for Service default\/web/);
  });
  test("a refused address is no entry point but a problem that says what to do", async () => {
    const report = await explain("default/web");
    const places = report.ports.flatMap(({ entries }) =>
      entries.filter(({ kind }) => kind === "externalIP").flatMap(({ addresses }) => addresses),
    );
    assert.deepEqual(places, ["203.0.113.7", "203.0.113.7"]);
    assert.match(report.problems[0]?.message ?? "", /192\.168\.77\.11 is the address of a node/);
  });
  test("NodePorts open on every address are told so", async () => {
    const report = await explain("default/web", await node(["--nodeport-addresses=0.0.0.0/0"]));
    const entry = report.ports[0]?.entries.find(({ kind }) => kind === "NodePort");
    assert.deepEqual(entry?.addresses, ["every address of the node but loopback"]);
  });
  test("ids are the kernel's where it was asked, and missing where it has no such set", async () => {
    const family = planned.plan.families.find(({ options }) => options.family === "ip");
    assert(family !== undefined);
    const kernel = makeFakeKernel();
    await kernel.commit([wholeTransaction(family)]);
    const contents = await kernel.read("ip", "innermesh");
    assert(contents !== undefined);
    const sets = new Map(contents.sets);
    sets.set("ext", new Map());
    sets.set("esets", renumbered(contents));
    const tables = new Map<Family, TableContents>([["ip", { ...contents, sets }]]);
    const report = await explain("default/web", { ...planned, kernel: tables });
    assert.equal(report.idsFrom, "kernel");
    assert.deepEqual(
      report.ports[0]?.sets.map(({ id, role }) => `${role} ${id}`),
      [
        "cluster-affinity 8042:0",
        "local-affinity 8042:0",
        "external undefined",
        "balancer undefined",
      ],
    );
    assert.match(formatServiceReport(report), /set not yet +external/);
  });
  test("a Service that is not there is undefined", async () => {
    assert.equal(explainService(planned, await FlowCost.of(planned), "default/none"), undefined);
  });
});

function renumbered(contents: TableContents): ReadonlyMap<string, { key: string }> {
  const elements = [...(contents.sets.get("esets")?.values() ?? [])];
  return new Map(elements.map((element) => [element.key, { ...element, key: "8042:0" }]));
}

describe("explain address", () => {
  const cases: readonly (readonly [question: string, answer: RegExp])[] = [
    ["10.96.0.10", /ClusterIP of Service default\/web\n/],
    ["10.96.0.10:80", /ClusterIP of Service default\/web\n/],
    ["10.96.0.10:81", /has no port 81: refused/],
    ["10.96.9.9", /lies in ServiceCIDR 10\.96\.0\.0\/16, but no Service has it: dropped/],
    ["192.168.77.11:30053", /NodePort of Service default\/web/],
    ["192.168.77.11", /an address of this node; no Service has it/],
    ["203.0.113.7", /default\/web2 +externalIP +80\/tcp +not served: Service default\/web has it/],
    ["10.71.1.2:8080", /an endpoint: reached as it is/],
    ["[2001:db8::8]:53", /no Service has it: packets pass untouched/],
  ];
  for (const [question, expected] of cases) {
    test(`${question} is answered ${expected.source}`, () => {
      const parsed = parseQuestion(question);
      assert(parsed !== undefined);
      assert.match(formatAddressReport(explainAddress(planned, parsed)), expected);
    });
  }
  test("what is no address is not understood", () => {
    for (const text of ["", "web", "10.96.0.10:0", "10.96.0.10:99999", "10.96.0", "[::1"]) {
      assert.equal(parseQuestion(text), undefined, text);
    }
  });
});
