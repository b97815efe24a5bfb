import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { EndpointSlice, SliceEndpoint } from "../../lib/kube/api/endpoint-slice.ts";
import { gatherEndpoints } from "../../service-proxy/model/endpoint.ts";
import { type Place, usableEndpoints } from "../../service-proxy/plan/usable-endpoints.ts";
import { endpointTable } from "./endpoint-table.ts";

const PLACE: Place = { nodeName: "node-1", zone: "zone-a" };
const QUERY = { portName: "", protocol: "TCP", family: "IPv4", nodeName: "node-1" } as const;

function slice(name: string, endpoints: readonly SliceEndpoint[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: "default",
    name,
    uid: name,
    resourceVersion: "1",
    serviceName: "web",
    addressType: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 80 }],
    endpoints,
  };
}

function endpoint(address: string, more: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return { address, ready: true, serving: true, terminating: false, ...more };
}

const bySlice = (...slices: readonly EndpointSlice[]): ReadonlyMap<string, EndpointSlice> =>
  new Map(slices.map((one) => [one.name, one]));

function rows(...slices: readonly EndpointSlice[]): string[] {
  const table = endpointTable(bySlice(...slices), QUERY, PLACE);
  return table.rows.map((row) => `${row.address} ${row.slice}: ${row.cluster} / ${row.local}`);
}

describe("endpointTable", () => {
  test("a terminating entry is shadowed by the slice that lists the address alive", () => {
    const old = slice("a", [endpoint("10.0.0.1", { ready: false, terminating: true })]);
    const fresh = slice("b", [endpoint("10.0.0.1", { nodeName: "node-1" })]);
    assert.deepEqual(rows(old, fresh), [
      "10.0.0.1 a: shadowed by slice b / shadowed by slice b",
      "10.0.0.1 b: used / used",
    ]);
  });
  test("of two slices that list an endpoint alike, the first counts", () => {
    assert.deepEqual(rows(slice("a", [endpoint("10.0.0.1")]), slice("b", [endpoint("10.0.0.1")])), [
      "10.0.0.1 a: used / no: on another node",
      "10.0.0.1 b: shadowed by slice a / shadowed by slice a",
    ]);
  });
  test("an endpoint that terminates and is used all the same says so", () => {
    const draining = endpoint("10.0.0.1", { ready: false, terminating: true });
    assert.deepEqual(rows(slice("a", [draining])), [
      "10.0.0.1 a: used: terminating, but none is ready / no: on another node",
    ]);
  });
  test("the level of hints in force is told with the reason why no nearer one is", () => {
    const why = (...endpoints: readonly SliceEndpoint[]): string =>
      endpointTable(bySlice(slice("a", endpoints)), QUERY, PLACE).topology.why;
    const inZone = (name: string, zone: string): SliceEndpoint =>
      endpoint(name, { hintedZones: [zone] });
    const onNode = (name: string, node: string): SliceEndpoint =>
      endpoint(name, { hintedNodes: [node] });
    assert.equal(
      why(inZone("10.0.0.1", "zone-a")),
      "hints for zone zone-a are followed; 10.0.0.1 has no node hint, which turns node hints off",
    );
    assert.equal(
      why(inZone("10.0.0.1", "zone-a"), endpoint("10.0.0.2")),
      "no hints are followed; 10.0.0.2 has no zone hint, which turns zone hints off",
    );
    assert.equal(why(onNode("10.0.0.1", "node-1")), "hints for node node-1 are followed");
    assert.equal(
      why(onNode("10.0.0.1", "node-2")),
      "no hints are followed; no ready endpoint is hinted for node node-1; " +
        "10.0.0.1 has no zone hint, which turns zone hints off",
    );
  });
  test("an endpoint is shown as used exactly where the plan uses it", () => {
    const place = fc.subarray(["zone-a", "zone-b"]);
    const nodes = fc.subarray(["node-1", "node-2"]);
    const anyEndpoint = fc.record({
      address: fc.integer({ min: 1, max: 6 }).map((n) => `10.0.0.${n}`),
      ready: fc.boolean(),
      serving: fc.boolean(),
      terminating: fc.boolean(),
      nodeName: fc.constantFrom("node-1", "node-2"),
      hintedZones: place,
      hintedNodes: nodes,
    });
    const anySlices = fc.array(fc.array(anyEndpoint, { maxLength: 6 }), { maxLength: 3 });
    fc.assert(
      fc.property(anySlices, (lists) => {
        const slices = bySlice(...lists.map((endpoints, i) => slice(`slice-${i}`, endpoints)));
        const usable = usableEndpoints(gatherEndpoints(slices.values(), QUERY), PLACE);
        const table = endpointTable(slices, QUERY, PLACE);
        for (const policy of ["cluster", "local"] as const) {
          const shown = table.rows.filter((row) => row[policy].startsWith("used"));
          assert.deepEqual(
            shown.map(({ address }) => address),
            usable[policy].map(({ address }) => address),
          );
        }
      }),
    );
  });
});
