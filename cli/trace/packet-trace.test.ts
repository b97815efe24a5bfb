// What `innermesh trace` says of connections to lanes, on the routed cluster of `explain`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { takeSnapshot } from "../snapshot.ts";
import { type TraceQuestion, type TraceReport, trace } from "./packet-trace.ts";
import { parseRequest } from "./request-option.ts";
import { formatTrace } from "./trace-text.ts";

const ROUTES = join(import.meta.dirname, "../explain/testdata/routes");
const snapshot = takeSnapshot([
  `--source=dir:${ROUTES}`,
  "--hostname-override=node-1",
  "--detect-local-mode=NodeCIDR",
]);

const ask = async (question: Partial<TraceQuestion>): Promise<TraceReport> =>
  trace(await snapshot, {
    from: "shop/front",
    to: "shop/web:80",
    interface: undefined,
    request: undefined,
    header: [],
    ...question,
  });

/** The last lines: what becomes of the packet. */
const facts = (report: TraceReport): string => formatTrace(report).split("\n\n").at(-1) ?? "";

describe("trace into a lane", () => {
  const doors = [
    { from: "shop/front", port: 15_001, client: "a pod of shop" },
    { from: "10.71.1.99", port: 15_001, client: "a pod that is not known" },
    { from: "node", port: 15_002, client: "a process of this node" },
    { from: "192.0.2.9", port: 15_002, client: "somebody who is no pod of this node" },
  ];
  for (const { from, port, client } of doors) {
    test(`${from} arrives at port ${port}, as ${client}`, async () => {
      const { verdict, proxy } = await ask({ from });
      assert.equal(verdict, `taken by a proxy worker of this node, at its port ${port}`);
      assert.equal(proxy?.client, client);
    });
  }
  test("without a request, the rules for this client are told in their order", async () => {
    const names = async (from: string): Promise<unknown> =>
      (await ask({ from })).proxy?.rules.map(({ rule }) => rule);
    assert.deepEqual(await names("node"), ["old", "canary", "lost", "canary", "rest"]);
    assert.deepEqual(await names("lab/tester"), ["only"]);
  });

  const requests: readonly (readonly [request: string, header: readonly string[], rule: string])[] =
    [
      ["GET /api/x", ["X-Canary: yes"], "canary"],
      ["GET /api/x", ["x-canary:no"], "rest"],
      ["GET /v12/a?b=c", [], "canary"],
      ["/lost?q=1", [], "lost"],
      ["POST /old", [], "rest"],
    ];
  for (const [request, header, rule] of requests) {
    test(`${[request, ...header].join(" with ")} is served by rule ${rule}`, async () => {
      assert.equal((await ask({ request, header })).proxy?.rule?.rule, rule);
    });
  }
  test("a rule that answers by itself sends nothing on", async () => {
    const { proxy } = await ask({ request: "GET /a/../old" });
    assert.equal(proxy?.rule?.rule, "old");
    assert.equal(proxy?.answer, "301");
    assert.deepEqual(proxy?.targets, []);
  });
  test("a path that backends would read in two ways is refused before any rule", async () => {
    assert.match((await ask({ request: "GET /a%2Fb" })).proxy?.answer ?? "", /^400/);
  });
  test("each share is told with its endpoints, and the address that they see", async () => {
    assert.match(
      facts(await ask({ request: "GET /v1/", from: "192.0.2.9", to: "192.168.77.11:30080" })),
      new RegExp(
        [
          "to +75 % shop/web:80 IPv4: 10.71.1.7:8080 \\(sees 192.0.2.9\\) or " +
            "10.71.2.7:8080 \\(sees this node's\\)",
          "to +25 % shop/v2:80 IPv4: 10.71.2.8:8080 \\(sees this node's\\)\n",
        ].join("\n"),
      ),
    );
  });
  test("bytes and server names are told without a request", async () => {
    assert.match(facts(await ask({ to: "shop/web:5432" })), /10 % nowhere: nobody: refused/);
    assert.match(
      facts(await ask({ to: "shop/mail:993" })),
      /to +\*\.mail\.example: 100 % shop\/mail/,
    );
  });
  test("a lane's Service without endpoints stays in the kernel, which refuses", async () => {
    const report = await ask({ to: "shop/empty:80" });
    assert.match(report.verdict, /^refused/);
    assert.equal(report.proxy, undefined);
  });
  test("a header without a request is wrong use", async () => {
    await assert.rejects(ask({ header: ["a:b"] }), /--header says nothing without --request/);
  });
});

describe("parseRequest", () => {
  test("Host names the authority, other headers are fields in lower case", () => {
    assert.deepEqual(parseRequest("PUT /a?b", ["Host: x.example", "X-A:1:2"], "web"), {
      method: "PUT",
      authority: "x.example",
      path: "/a?b",
      fields: ["x-a", "1:2"],
    });
    assert.equal(parseRequest("/", [], "web").authority, "web");
  });
  test("what is no request or no header is wrong use", () => {
    for (const text of ["", "GET", "get /", "GET a", "GET / HTTP/1.1"]) {
      assert.throws(() => parseRequest(text, [], "web"), /write it as "GET \/path"/, text);
    }
    assert.throws(() => parseRequest("/", ["no colon"], "web"), /write name:value/);
  });
});
