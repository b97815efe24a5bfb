import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoint } from "../model/endpoint.ts";
import { explainEndpoints, type Place, type Reach, usableEndpoints } from "./usable-endpoints.ts";

const HERE: Place = { nodeName: "node-1", zone: "zone-a" };

/** "a" ready elsewhere; suffixes: `@` local, `!` serving and terminating, `-` not serving. */
function endpoint(name: string, more: Partial<Endpoint> = {}): Endpoint {
  const terminating = name.includes("!");
  const ready = !terminating && !name.includes("-");
  return {
    address: name.replace(/[@!-]/g, ""),
    port: 80,
    ready,
    serving: ready || terminating,
    terminating,
    local: name.includes("@"),
    ...more,
  };
}

function pick(endpoints: readonly (string | Endpoint)[], place = HERE): string {
  const all = endpoints.map((e) => (typeof e === "string" ? endpoint(e) : e));
  const { cluster, local, anywhere } = usableEndpoints(all, place);
  const names = (list: readonly Endpoint[]): string => list.map((e) => e.address).join(",");
  return `cluster=${names(cluster)} local=${names(local)} ${anywhere ? "usable" : "none"}`;
}

describe("usableEndpoints", () => {
  test("ready endpoints win over terminating ones", () => {
    assert.equal(pick(["a", "b!", "c@!"]), "cluster=a local=c usable");
  });
  test("without a ready one, serving and terminating ones are used, each policy by itself", () => {
    assert.equal(pick(["a!", "b@!", "c-"]), "cluster=a,b local=b usable");
    assert.equal(pick(["a@", "b@!"]), "cluster=a local=a usable");
  });
  test("an endpoint that is not serving is never used", () => {
    assert.equal(pick(["a-", "b@-"]), "cluster= local= none");
  });
  test("endpoints elsewhere leave the local set empty but usable somewhere", () => {
    assert.equal(pick(["a", "b"]), "cluster=a,b local= usable");
  });

  const zoned = (name: string, ...zones: string[]): Endpoint =>
    endpoint(name, { hintedZones: zones });
  const noded = (name: string, node: string, ...zones: string[]): Endpoint =>
    endpoint(name, { hintedNodes: [node], hintedZones: zones });

  test("zone hints narrow the Cluster set to this node's zone", () => {
    const endpoints = [zoned("a", "zone-a"), zoned("b", "zone-b"), zoned("c", "zone-b", "zone-a")];
    assert.equal(pick(endpoints), "cluster=a,c local= usable");
  });
  test("one ready endpoint without a hint turns hints off", () => {
    assert.equal(pick([zoned("a", "zone-a"), "b"]), "cluster=a,b local= usable");
  });
  test("a terminating endpoint without a hint does not", () => {
    const endpoints = [zoned("a", "zone-a"), zoned("b", "zone-b"), "c!"];
    assert.equal(pick(endpoints), "cluster=a local= usable");
  });
  test("no endpoint hinted for this zone, or no zone known, means all", () => {
    assert.equal(pick([zoned("a", "zone-b")]), "cluster=a local= usable");
    assert.equal(pick([zoned("a", "zone-b")], { nodeName: "node-1" }), "cluster=a local= usable");
  });
  test("node hints come before zone hints, and fall back to them", () => {
    const endpoints = [noded("a", "node-1", "zone-a"), noded("b", "node-2", "zone-a")];
    assert.equal(pick(endpoints), "cluster=a local= usable");
    assert.equal(
      pick(endpoints, { nodeName: "node-3", zone: "zone-a" }),
      "cluster=a,b local= usable",
    );
  });
  test("the Local set ignores hints", () => {
    assert.equal(pick([zoned("a@", "zone-b"), zoned("b", "zone-a")]), "cluster=b local=a usable");
  });
});

describe("explainEndpoints", () => {
  const zoned = (name: string, ...zones: string[]): Endpoint =>
    endpoint(name, { hintedZones: zones });

  /** Each endpoint with why it is in neither set; "yes" where it is in. */
  function explain(endpoints: readonly Endpoint[], place = HERE): Record<string, string> {
    const uses = explainEndpoints(endpoints, usableEndpoints(endpoints, place));
    return Object.fromEntries(
      uses.map(({ endpoint: { address }, notCluster, notLocal }) => [
        address,
        `${notCluster ?? "yes"} / ${notLocal ?? "yes"}`,
      ]),
    );
  }
  const reach = (endpoints: readonly Endpoint[], place = HERE): Reach =>
    usableEndpoints(endpoints, place).reach;

  test("an endpoint that is not used is told why, for each policy", () => {
    const serving = endpoint("e@-", { serving: true });
    const endpoints = [endpoint("a@"), endpoint("b"), endpoint("c@!"), endpoint("d@-"), serving];
    assert.deepEqual(explain(endpoints), {
      a: "yes / yes",
      b: "yes / on-another-node",
      c: "terminating / terminating",
      d: "not-serving / not-serving",
      e: "not-ready / not-ready",
    });
  });
  test("a hint for another place is the reason where hints are followed", () => {
    const zones = [zoned("a", "zone-a"), zoned("b", "zone-b")];
    assert.equal(explain(zones)["b"], "hinted-for-other-zones / on-another-node");
    const nodes = [
      endpoint("a", { hintedNodes: ["node-1"] }),
      endpoint("b", { hintedNodes: ["node-2"] }),
    ];
    assert.equal(explain(nodes)["b"], "hinted-for-other-nodes / on-another-node");
  });
  test("the reach names the endpoint whose missing hint turns a level off", () => {
    const bare = endpoint("b");
    const missing = { kind: "hint-missing", endpoint: bare };
    assert.deepEqual(reach([zoned("a", "zone-a"), bare]), {
      kind: "all",
      notNode: { kind: "hint-missing", endpoint: zoned("a", "zone-a") },
      notZone: missing,
    });
  });
  test("the reach says when no hint names this zone, no zone is known, or nothing is ready", () => {
    const zone = (place: Place): string => {
      const found = reach([zoned("a", "zone-b")], place);
      return found.kind === "all" ? found.notZone.kind : found.kind;
    };
    assert.equal(zone(HERE), "nobody-hinted");
    assert.equal(zone({ nodeName: "node-1" }), "zone-unknown");
    assert.equal(reach([zoned("a", "zone-a")]).kind, "zone");
    assert.equal(reach([endpoint("a!"), endpoint("b-")]).kind, "none-ready");
  });
});
