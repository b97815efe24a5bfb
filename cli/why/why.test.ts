// What `innermesh why` says of connections over the clusters in examples.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Denial } from "../../netpol-identity/model/denial-report.ts";
import { POLICY_FLAG } from "../can.ts";
import { CanWorld } from "../can/can-world.ts";
import { WrongUse } from "../exit.ts";
import { takeSnapshot } from "../snapshot.ts";
import { type AskedConnection, parseConnection } from "./connection-words.ts";
import { reportWhy, type WhyReport, type WhyWitness } from "./why-report.ts";
import { formatWhy } from "./why-text.ts";

const EXAMPLES = join(import.meta.dirname, "../../examples");
const ELSEWHERE: WhyWitness = {
  isHere: false,
  live: () => Promise.resolve(undefined),
  denials: () => Promise.resolve(undefined),
};

async function why(
  folder: string,
  connection: string,
  witness: Partial<WhyWitness> = {},
): Promise<WhyReport> {
  const source = `--source=dir:${join(EXAMPLES, folder)}`;
  const place = ["--hostname-override=node-1", "--detect-local-mode=NodeCIDR", "--identity=off"];
  const snapshot = await takeSnapshot([source, ...place, POLICY_FLAG]);
  const asked = parseConnection(connection);
  return reportWhy(new CanWorld(snapshot), asked, { ...ELSEWHERE, ...witness });
}

const endsOf = ({ policies }: WhyReport): readonly string[] =>
  policies?.ways.map(({ to }) => `${to.address}:${to.port}`) ?? [];

describe("why", () => {
  test("a call to a Service leads to each of its endpoints", async () => {
    const report = await why("services", "10.71.1.9 -> 10.96.0.10:80");
    assert.equal(report.address.answer, "ClusterIP of Service default/web");
    assert.deepEqual(endsOf(report), ["10.71.1.2:8080", "10.71.1.3:8080", "10.71.2.2:8080"]);
    assert.match(formatWhy(report, 0), /now +not known: this machine is not node-1/);
  });
  test("a connection that lives leads where conntrack says", async () => {
    const live = { address: "10.71.2.2", port: 8080 };
    const witness = { isHere: true, live: () => Promise.resolve(live) };
    const report = await why("services", "10.71.1.9:4711 -> 10.96.0.10:80", witness);
    assert.deepEqual(endsOf(report), ["10.71.2.2:8080"]);
    assert.match(formatWhy(report, 0), /conntrack has it: it leads to 10\.71\.2\.2:8080/);
  });
  test("where routes choose by the request, any endpoint may be the one", async () => {
    const report = await why("routes", "shop/front 10.96.2.10:80");
    assert.match(report.trace.verdict, /taken by a proxy worker/);
    assert.deepEqual(endsOf(report), ["10.71.1.10:8080", "10.71.2.10:8080"]);
  });
  test("a Service without endpoints leads nowhere, and no policy is asked", async () => {
    const report = await why("services", "10.71.1.9 10.96.0.99:80");
    assert.equal(report.policies, undefined);
    assert.match(formatWhy(report, 0), /refused[^]*policies are not asked: it leads nowhere/);
  });
  test("policies answer as they do for can, and denials that were recorded are told", async () => {
    const denial: Denial = {
      by: "kernel",
      atMs: 60_000,
      direction: "ingress",
      rule: "no rule matches",
      protocol: "TCP",
      source: "10.72.1.2",
      sourcePort: 4_711,
      destination: "10.72.1.4",
      port: 5432,
      sourcePod: "shop/front",
      destinationPod: "data/postgres",
      packets: 3,
    };
    const others = [denial, { ...denial, source: "10.72.1.3" }];
    const witness = { isHere: true, denials: () => Promise.resolve(others) };
    const report = await why("policy", "shop/front 10.72.1.4:5432", witness);
    assert.equal(report.policies?.verdict, "deny");
    assert.deepEqual(report.denials, [denial]);
    const text = formatWhy(report, 120_000);
    assert.match(
      text,
      /1m ago +shop\/front +data\/postgres:5432\/tcp +ingress +3 +no rule matches/,
    );
    assert.match(text, /conntrack has no such connection/);
  });
});

describe("a connection's words", () => {
  const whole: AskedConnection = {
    from: "10.0.0.1",
    sourcePort: 4_711,
    destination: "10.0.0.9",
    port: 80,
    protocol: "UDP",
  };
  const any = { ...whole, sourcePort: 0, protocol: "TCP" };
  test("are ends with or without an arrow, or what conntrack prints", () => {
    const v6 = { from: "fd00::1", destination: "fd00::9" };
    const cases: readonly (readonly [string, object])[] = [
      ["10.0.0.1:4711 -> 10.0.0.9:80/udp", whole],
      ["10.0.0.1 → 10.0.0.9:80", any],
      ["10.0.0.1 10.0.0.9:80", any],
      ["shop/front 10.0.0.9:80", { ...any, from: "shop/front" }],
      ["[fd00::1]:4711 -> [fd00::9]:80/udp", { ...whole, ...v6 }],
      ["fd00::1 [fd00::9]:80", { ...any, ...v6 }],
      ["udp 17 25 src=10.0.0.1 dst=10.0.0.9 sport=4711 dport=80 src=10.0.0.9 dst=10.0.0.1", whole],
    ];
    for (const [text, expected] of cases) assert.deepEqual(parseConnection(text), expected, text);
  });
  test("that say too little or too much are wrong use", () => {
    for (const text of ["", "10.0.0.1", "10.0.0.1 10.0.0.9", "a b:80", "1 2 3", "src=x dst=y"]) {
      assert.throws(() => parseConnection(text), WrongUse, text);
    }
    assert.throws(() => parseConnection("10.0.0.1 10.0.0.9:80/icmp"), WrongUse);
    assert.throws(() => parseConnection("10.0.0.1 10.0.0.9:0"), WrongUse);
  });
});
