// What UDPRoutes make of the plan: which ports they have, what they are told, and which elements
// stand for their weights.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseUdpRoute } from "../../lib/kube/api/udp-route.ts";
import { type KubeStore, makeStore } from "../../lib/kube/store.ts";
import { gatherUdpTargets } from "../model/udp-targets.ts";
import type { TableSettings } from "./family-facts.ts";
import { DEFAULT_LANE } from "./lane-marks.ts";
import { NodePlan } from "./node-plan.ts";
import { conditionsOf, planSample, type SampleRoute } from "./sample-routes.ts";

const ACCEPTED = "Accepted=True/Accepted";
const RESOLVED = "ResolvedRefs=True/ResolvedRefs";
const DNS = "shop/web:53";

function udp(name: string, ref: JsonRecord, more: Partial<SampleRoute> = {}): SampleRoute {
  return { kind: "UDPRoute", name, spec: { rules: [{ backendRefs: [ref] }] }, ...more };
}

describe("UDPRoutes among routes", () => {
  test("a UDPRoute has the UDP ports of its parent, and leaves the others alone", () => {
    const plan = planSample(udp("r", { name: "a", port: 5353, weight: 3 }));
    assert.deepEqual([...plan.udp], [[DNS, [{ group: "shop/a:5353", weight: 3 }]]]);
    assert.deepEqual([plan.ports.size, plan.groups.size], [0, 0]);
    assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, RESOLVED]);
  });

  test("of two UDPRoutes both are accepted, and the older has the traffic", () => {
    const [a, c] = [
      { name: "a", port: 5353 },
      { name: "web", port: 53 },
    ];
    const plan = planSample(udp("new", a, { age: 2 }), udp("old", c, { age: 1 }));
    assert.deepEqual(plan.udp.get(DNS), [{ group: DNS, weight: 1 }]);
    assert.deepEqual(conditionsOf(plan, "new"), [ACCEPTED, RESOLVED]);
  });

  test("a reference to a TCP port leads nowhere, and neither takes a route without UDP ports", () => {
    const plan = planSample(udp("r", { name: "a", port: 80 }));
    assert.deepEqual(plan.udp.get(DNS), [{ weight: 1 }]);
    assert.deepEqual(conditionsOf(plan, "r"), [ACCEPTED, "ResolvedRefs=False/BackendNotFound"]);
    const parentRefs = [{ group: "", kind: "Service", name: "b" }];
    const rules = [{ backendRefs: [{ name: "a", port: 5353 }] }];
    const lost = planSample({ kind: "UDPRoute", name: "r", spec: { parentRefs, rules } });
    assert.equal(conditionsOf(lost, "r")[0], "Accepted=False/NoMatchingParent");
  });

  test("a backend in another namespace needs a ReferenceGrant for UDPRoutes", () => {
    const route = udp("r", { name: "c", namespace: "other", port: 53 });
    const grant = (kind: string): SampleRoute => ({
      kind: "ReferenceGrant",
      name: "g",
      namespace: "other",
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind, namespace: "shop" }],
        to: [{ group: "", kind: "Service" }],
      },
    });
    const refused = planSample(route, grant("TCPRoute"));
    assert.deepEqual(refused.udp.get(DNS), [{ weight: 1 }]);
    assert.equal(conditionsOf(refused, "r")[1], "ResolvedRefs=False/RefNotPermitted");
    const granted = planSample(route, grant("UDPRoute"));
    assert.deepEqual(granted.udp.get(DNS), [{ group: "other/c:53", weight: 1 }]);
  });

  test("only the namespace of the Service routes its datagrams", () => {
    const parentRefs = [{ group: "", kind: "Service", name: "web", namespace: "shop" }];
    const spec = { parentRefs, rules: [{ backendRefs: [{ name: "c", port: 53 }] }] };
    const plan = planSample({ kind: "UDPRoute", name: "r", namespace: "other", spec });
    assert.equal(plan.udp.size, 0);
    assert.equal(conditionsOf(plan, "r")[0], "Accepted=False/NotAllowedByListeners");
  });
});

const SETTINGS: TableSettings = {
  nodeName: "node-1",
  apiServerAddresses: [],
  detectLocal: { kind: "ClusterCIDR", cidrs: ["10.71.0.0/16"] },
  masqueradeAll: false,
  masqueradeBit: 14,
  proxyMode: "auto",
  lane: DEFAULT_LANE,
  nodePortAddresses: { kind: "primary" },
  bindAddress: "192.168.77.11",
};

/** A Service with port 53 of both protocols, its number its ClusterIP; endpoints over IPv4. */
function put(
  store: KubeStore,
  name: string,
  number: number,
  endpoints: readonly string[],
  more: JsonRecord = {},
): void {
  const ports = ["TCP", "UDP"].map((protocol) => ({ name: protocol, protocol, port: 53 }));
  const service = parseService({
    metadata: { namespace: "default", name },
    spec: { clusterIP: `10.96.0.${number}`, ports, ...more },
  });
  assert.ok(service.kind === "ok");
  store.put(service.object);
  const labels = { "kubernetes.io/service-name": name };
  const slice = parseEndpointSlice({
    metadata: { namespace: "default", name: `${name}-1`, labels },
    addressType: "IPv4",
    ports: ports.map((port) => ({ ...port, port: 5353 })),
    endpoints: endpoints.map((address) => ({
      addresses: [address],
      nodeName: address.startsWith("10.71.1.") ? "node-1" : "node-2",
    })),
  });
  assert.ok(slice.kind === "ok");
  store.put(slice.object);
}

function route(store: KubeStore, weights: Readonly<Record<string, number>>): void {
  const backendRefs = Object.entries(weights).map(([name, weight]) => ({ name, weight, port: 53 }));
  const parentRefs = [{ group: "", kind: "Service", name: "dns" }];
  const parsed = parseUdpRoute({
    metadata: { namespace: "default", name: "shares" },
    spec: { parentRefs, rules: [{ backendRefs }] },
  });
  assert.ok(parsed.kind === "ok");
  store.put(parsed.object);
}

/** Where the ClusterIP of Service 1 leads by UDP: targets and how often, or what is done instead. */
function servedBy(plan: NodePlan, protocol = "udp"): string {
  const sets = plan.families[0]?.ledger.wanted;
  const id = sets?.get("vips")?.get(`10.96.0.1 . ${protocol} . 53`)?.data;
  const verdict = sets?.get("esets")?.get(`${id}`)?.data ?? "nothing";
  if (!verdict.startsWith("goto mod-")) return verdict;
  const own = [...(sets?.get("endpoints") ?? [])].filter(([key]) => key.startsWith(`${id} . `));
  assert.equal(verdict, `goto mod-${own.length}`);
  const counts = Map.groupBy(own, ([, { data }]) => data?.replace(" . 5353", ""));
  const texts = [...counts].map(([target, all]) => `${target}×${all.length}`);
  return texts.sort().join(" ");
}

function rig(more: JsonRecord = {}): { readonly store: KubeStore; readonly plan: NodePlan } {
  const store = makeStore(["Service"]);
  put(store, "dns", 1, ["10.71.1.9"], more);
  put(store, "blue", 2, ["10.71.1.2"]);
  put(store, "green", 3, ["10.71.2.3"]);
  route(store, { blue: 80, green: 20 });
  const plan = new NodePlan(SETTINGS, store, [], new Map());
  store.takeChanges();
  return { store, plan };
}

describe("UDPRoutes in the kernel lane", () => {
  test("weights are positions; TCP of the same port number stays with the Service", () => {
    const { plan, store } = rig();
    assert.equal(servedBy(plan), "10.71.1.2×4 10.71.2.3×1");
    assert.equal(servedBy(plan, "tcp"), "10.71.1.9×1");
    const service = store.services.get("default/dns") ?? assert.fail();
    const rules = service.ports.map((port) => plan.lanes.choice(service, port));
    assert.deepEqual(
      rules.map(({ lane, rule }) => [lane, rule.startsWith("a UDPRoute names it")]),
      [
        ["kernel", false],
        ["kernel", true],
      ],
    );
  });

  test("a change of the route, of a backend's slices or of a backend plans the parent again", () => {
    const { plan, store } = rig();
    const update = (): string => {
      plan.update(store, store.takeChanges(), []);
      return servedBy(plan);
    };
    route(store, { blue: 50, green: 50 });
    assert.equal(update(), "10.71.1.2×1 10.71.2.3×1");
    put(store, "green", 3, ["10.71.2.4", "10.71.2.5"]);
    assert.equal(update(), "10.71.1.2×2 10.71.2.4×1 10.71.2.5×1");
    store.remove("EndpointSlice", "default/blue-1");
    assert.equal(update(), "10.71.2.4×1 10.71.2.5×1");
    store.remove("Service", "default/green");
    assert.equal(update(), "goto refuse");
    put(store, "green", 3, ["10.71.2.6"]);
    assert.equal(update(), "10.71.2.6×1");
    store.remove("UDPRoute", "default/shares");
    assert.equal(update(), "10.71.1.9×1");
    put(store, "green", 3, ["10.71.2.7"]);
    assert.equal(update(), "10.71.1.9×1");
  });

  test("a share that leads nowhere is the others', and all of them refuse", () => {
    const { plan, store } = rig();
    route(store, { blue: 20, gone: 80 });
    plan.update(store, store.takeChanges(), []);
    assert.equal(servedBy(plan), "10.71.1.2×1");
    route(store, { gone: 80 });
    plan.update(store, store.takeChanges(), []);
    assert.equal(servedBy(plan), "goto refuse");
  });

  test("the parent's policy Local divides among local endpoints of the backends", () => {
    const { plan, store } = rig({ internalTrafficPolicy: "Local" });
    assert.equal(servedBy(plan), "10.71.1.2×1");
    put(store, "blue", 2, ["10.71.2.2"]);
    plan.update(store, store.takeChanges(), []);
    assert.equal(servedBy(plan), "drop");
  });

  test("affinity knows no weights: each endpoint has one position", () => {
    const { plan } = rig({ sessionAffinity: "ClientIP" });
    assert.match(servedBy(plan), /^goto aff-2$/);
  });

  test("conntrack is told of the backends' endpoints, not of the Service's own", () => {
    const { plan } = rig();
    const { addresses } = gatherUdpTargets(plan.families[0]?.udpPorts() ?? [], []);
    assert.deepEqual(
      addresses.get("10.96.0.1 . 53"),
      new Set(["10.71.1.2 . 5353", "10.71.2.3 . 5353"]),
    );
  });
});
