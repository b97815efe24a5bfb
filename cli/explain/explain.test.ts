// What `innermesh explain` says about the cluster in testdata: a Service with every entry point,
// and a younger one that claims an address of the first.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import { wholeTransaction } from "../../service-proxy/plan/changes.ts";
import { takeSnapshot } from "../snapshot.ts";
import { explainAddress, formatAddressReport, parseQuestion } from "./address-report.ts";
import { FlowCost } from "./flow-cost.ts";
import type { PlannedNode } from "./planned-node.ts";
import { explainService, type ServiceReport } from "./service-report.ts";
import { formatServiceReport } from "./service-text.ts";

const TESTDATA = join(import.meta.dirname, "testdata");

async function node(more: readonly string[] = [], folder = "cluster"): Promise<PlannedNode> {
  const flags = [`--source=dir:${TESTDATA}/${folder}`, "--hostname-override=node-1", ...more];
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
  test("a UDPRoute stays in the kernel's lane, and the endpoints are its backends'", async () => {
    const report = await explain("default/dns", await node([], "udp-route"));
    assert.equal(report.lane, "kernel");
    assert.match(report.rule, /^a UDPRoute names it/);
    const [port] = report.ports;
    assert.equal(port?.sets[0]?.holds, "2 endpoints, by weight in 5 positions");
    assert.deepEqual(
      port?.rows.map(({ slice, cluster }) => [slice, cluster]),
      [
        ["blue-1", "used"],
        ["green-1", "used"],
      ],
    );
  });
  test("an address that an older Service has is not served, and the older one is named", async () => {
    const report = await explain("default/web2");
    const lost = report.ports[0]?.entries.find(({ kind }) => kind === "externalIP");
    assert.equal(lost?.servedFor, "default/web");
    assert.match(report.problems[0]?.message ?? "", /already served for Service default\/web/);
  });
  test("an address that is lost in the kernel's lane and in the proxy's is one problem", async () => {
    const both = await node(["--proxy-mode=userspace"]);
    const conflicts = both.plan.problems().filter(({ message }) => message.includes("already"));
    assert.deepEqual(
      conflicts.map(({ object, field }) => [object, field]),
      [["Service default/web2", "spec.externalIPs"]],
    );
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

describe("explain service, of a lane", () => {
  const routed = node(["--detect-local-mode=NodeCIDR"], "routes");
  const explainRouted = async (key: string): Promise<ServiceReport> => explain(key, await routed);

  test("golden: routes of every kind, one that lost its port, and references to nowhere", async () => {
    const golden = readFileSync(join(TESTDATA, "routed.txt"), "utf8");
    assert.equal(formatServiceReport(await explainRouted("shop/web")), golden);
  });
  test("rules stand in the order in which they are tried, for each kind of client by itself", async () => {
    const proxy = (await explainRouted("shop/web")).ports[0]?.proxy;
    assert(proxy?.reads.kind === "http");
    assert.deepEqual(
      proxy.reads.rules.map(({ place, clientNamespace = "all", rule }) => [
        clientNamespace,
        place,
        rule,
      ]),
      [
        ["all", 1, "old"],
        ["all", 2, "canary"],
        ["all", 3, "lost"],
        ["all", 4, "canary"],
        ["all", 5, "rest"],
        ["lab", 1, "only"],
      ],
    );
  });
  test("a backend that is not there keeps its share, which leads nowhere", async () => {
    const proxy = (await explainRouted("shop/web")).ports[0]?.proxy;
    assert(proxy?.reads.kind === "http");
    const lost = proxy.reads.rules.find(({ rule }) => rule === "lost");
    assert.deepEqual(
      lost?.backends.map(({ group, share }) => [group, share]),
      [
        [undefined, 0.5],
        ["shop/web:80 IPv4", 0.5],
      ],
    );
  });
  test("gRPC is told by service and method, and in which HTTP endpoints are spoken to", async () => {
    const text = formatServiceReport(await explainRouted("shop/v2"));
    assert.match(
      text,
      /export +gRPC method shop\.Prices\/Export .*\n.*prices +gRPC service shop\.Prices/,
    );
    assert.match(
      text,
      /shop\/v2:80 IPv4 +ring-hash, by client for 10800 s +HTTP\/2 +10\.71\.2\.8:8080/,
    );
  });
  test("TLS is told by server names, the more specific first", async () => {
    const text = formatServiceReport(await explainRouted("shop/mail"));
    assert.match(text, /else refused\n.*\n +eu\.mail\.example +100 % .*\n +\*\.mail\.example/);
  });
  test("a port that nobody serves does not reach the proxy", async () => {
    const text = formatServiceReport(await explainRouted("shop/empty"));
    assert.match(text, /lane +l7 \(label innermesh\.io\/lane=l7\)/);
    assert.match(text, /proxy: not asked, for nobody serves this port here/);
  });
  test("masquerading hides clients from endpoints of a lane as well", async () => {
    const all = await node(["--masquerade-all"], "routes");
    const [first] = (await explain("shop/v2", all)).ports;
    assert.equal(first?.proxy?.doors[0]?.inside.source, "node");
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
