import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type EdgeReport, parseEdgeReport } from "./edge-report.ts";

const REPORT: EdgeReport = {
  node: "node-1",
  pods: [
    {
      namespace: "shop",
      name: "front",
      nodeName: "node-1",
      serviceAccount: "front",
      labels: { app: "front" },
      ports: [{ name: "http", protocol: "TCP", port: 80 }],
    },
  ],
  edges: [
    {
      client: { address: "10.0.0.1", pod: 0 },
      server: { address: "9.9.9.9" },
      protocol: "TCP",
      port: 443,
      isProven: false,
      firstMs: 1,
      lastMs: 2,
      count: 3,
      requests: [{ method: "GET", host: "pay", path: "/a" }],
      hasMoreRequests: true,
    },
  ],
};

test("what a node tells is read as it is", () => {
  assert.deepEqual(parseEdgeReport(JSON.parse(JSON.stringify(REPORT))), REPORT);
});

test("anything else is met with what is wrong with it", () => {
  const [edge = assert.fail()] = REPORT.edges;
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [null, /want an object/],
    [{ ...REPORT, node: 1 }, /a node's name/],
    [{ ...REPORT, pods: [{}] }, /a list of pods/],
    [{ ...REPORT, edges: {} }, /a list of edges/],
    [{ ...REPORT, edges: [{ ...edge, client: { address: "", pod: 1 } }] }, /that are listed/],
    [{ ...REPORT, edges: [{ ...edge, port: "443" }] }, /that are listed/],
    [{ ...REPORT, edges: [{ ...edge, requests: [{ method: "GET" }] }] }, /that are listed/],
  ];
  for (const [value, message] of cases) {
    const said = parseEdgeReport(value);
    assert.ok(typeof said === "string");
    assert.match(said, message);
  }
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      parseEdgeReport(value);
      parseEdgeReport({ ...REPORT, pods: [value], edges: [value] });
    }),
  );
});
