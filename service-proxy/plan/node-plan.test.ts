// The plan of a whole node as text, as a reviewer reads it, and the rules that only a plan shows.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import { parseNode } from "../../lib/kube/api/node.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { formatTransaction } from "../../lib/nft/text.ts";
import { tracePacket } from "../../lib/nft/trace.ts";
import { wholeTransaction } from "./changes.ts";
import type { TableSettings } from "./family-facts.ts";
import { DEFAULT_LANE } from "./lane-marks.ts";
import { NodePlan } from "./node-plan.ts";
import { TABLE } from "./ruleset.ts";

const SETTINGS: TableSettings = {
  nodeName: "node-1",
  apiServerAddresses: ["198.51.100.1"],
  detectLocal: { kind: "ClusterCIDR", cidrs: ["10.71.0.0/16", "fd71::/48"] },
  masqueradeAll: false,
  masqueradeBit: 14,
  proxyMode: "auto",
  lane: DEFAULT_LANE,
  nodePortAddresses: { kind: "primary" },
  bindAddress: "192.168.77.11",
};
const ANYBODY = { localAddresses: new Set(["192.168.77.11"]), random: () => 0 };

interface Wish {
  readonly name: string;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly ingress?: readonly string[];
  readonly protocols?: readonly string[];
  readonly endpoints?: readonly string[];
}

type Store = ReturnType<typeof makeStore>;

function put(store: Store, wish: Wish, number: number): void {
  const { name, spec, ingress = [], protocols = ["TCP"], endpoints = ["10.71.1.2"] } = wish;
  const metadata = {
    namespace: "default",
    name,
    creationTimestamp: `2026-01-0${number}T00:00:00Z`,
  };
  const ports = protocols.map((protocol) => ({ name: protocol.toLowerCase(), protocol, port: 80 }));
  const service = parseService({
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: {
      type: "LoadBalancer",
      clusterIP: `10.96.0.${number}`,
      clusterIPs: [`10.96.0.${number}`, `fd96::${number}`],
      ports,
      ...spec,
    },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
  });
  assert.equal(service.kind, "ok");
  store.put(service.object);
  for (const family of ["IPv4", "IPv6"]) {
    const own = endpoints.filter((address) => address.includes(":") === (family === "IPv6"));
    const slice = parseEndpointSlice({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        namespace: "default",
        name: `${name}-${family.toLowerCase()}`,
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: family,
      ports: ports.map((port) => ({ ...port, port: 8080 })),
      endpoints: own.map((address) => ({ addresses: [address], nodeName: "node-1" })),
    });
    assert.equal(slice.kind, "ok");
    store.put(slice.object);
  }
}

function planOf(...wishes: readonly Wish[]): NodePlan {
  const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
  wishes.forEach((wish, index) => put(store, wish, index + 1));
  const cidrs = ["10.96.0.0/16", "fd96::/112"];
  store.put({ kind: "ServiceCIDR", name: "k", uid: "", resourceVersion: "", cidrs });
  const otherNodes = ["192.168.77.12"];
  return new NodePlan(SETTINGS, store, ["192.168.77.11"], new Map(), { otherNodes });
}

function keysOf(plan: NodePlan, set: string): string[] {
  return [...(plan.families[0]?.ledger.wanted.get(set)?.keys() ?? [])];
}

describe("NodePlan", () => {
  const everything: readonly Wish[] = [
    { name: "web", endpoints: ["10.71.1.2", "10.71.2.2", "fd71:0:0:1::2"] },
    {
      name: "sticky",
      spec: {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
        externalTrafficPolicy: "Local",
      },
      ingress: ["203.0.113.2", "2001:db8:113::2"],
      endpoints: ["10.71.1.2", "10.71.1.3", "fd71:0:0:1::2"],
    },
    {
      name: "ranged",
      spec: { loadBalancerSourceRanges: ["192.0.2.0/24"], externalIPs: ["203.0.113.30"] },
      ingress: ["203.0.113.3"],
      protocols: ["TCP", "UDP", "SCTP"],
    },
    { name: "empty", endpoints: [] },
  ];
  for (const [index, family] of (["ip", "ip6"] as const).entries()) {
    test(`four Services as nft text, ${family}`, (t) => {
      const plan = planOf(...everything).families[index] ?? assert.fail(family);
      const path = join(import.meta.dirname, "testdata", `four-services-${family}.nft`);
      t.assert.fileSnapshot(formatTransaction(wholeTransaction(plan)), path, {
        serializers: [(text: string) => text],
      });
    });
  }

  test("SCTP has the rules of TCP and UDP", async () => {
    const plan = planOf(...everything).families[0] ?? assert.fail("no plan");
    const kernel = makeFakeKernel();
    await kernel.commit([wholeTransaction(plan)]);
    const table = kernel.table("ip", TABLE) ?? assert.fail("no table");
    const base = { interface: "eth0", source: "10.71.1.9", destination: "10.96.0.3" };
    const packet = { ...base, protocol: "sctp", destinationPort: 80 } as const;
    const result = tracePacket(table, packet, ANYBODY);
    assert.deepEqual([result.verdict, result.destination], ["accept", "10.71.1.2"]);
    const unused = tracePacket(table, { ...packet, destination: "10.96.0.1" }, ANYBODY);
    assert.equal(unused.verdict, "reject");
  });

  test("a range with the node in it admits the VIPs themselves", () => {
    const ranged = (range: string): string[] =>
      keysOf(
        planOf({
          name: "a",
          spec: { loadBalancerSourceRanges: [range] },
          ingress: ["203.0.113.1"],
        }),
        "lb-allow",
      ).map((key) => key.split(" . ")[1] ?? "");
    assert.deepEqual(ranged("192.168.77.0/24"), ["192.168.77.0/24", "203.0.113.1/32"]);
    assert.deepEqual(ranged("192.0.2.0/24"), ["192.0.2.0/24"]);
  });

  test("ranges of the other family only are no filter", () => {
    const spec = { loadBalancerSourceRanges: ["2001:db8::/32"] };
    const plan = planOf({ name: "a", spec, ingress: ["203.0.113.1"] });
    assert.deepEqual(keysOf(plan, "lb-allow"), []);
    assert.ok(keysOf(plan, "vips").includes("203.0.113.1 . tcp . 80"));
  });

  for (const [address, why] of [
    ["10.96.0.1", "is the ClusterIP of a Service"],
    ["10.96.7.7", "lies in the ServiceCIDR 10.96.0.0/16"],
    ["192.168.77.11", "is the address of a node"],
    ["192.168.77.12", "is the address of a node"],
    ["198.51.100.1", "is the address of the API server"],
    ["10.71.2.9", "lies in 10.71.0.0/16, where pods have their addresses"],
  ] as const) {
    test(`T13: an external IP that ${why} is not served: ${address}`, () => {
      const plan = planOf({ name: "dns" }, { name: "thief", spec: { externalIPs: [address] } });
      const taken = keysOf(plan, "vips").filter((key) => key.startsWith(`${address} `));
      assert.deepEqual(taken, address === "10.96.0.1" ? ["10.96.0.1 . tcp . 80"] : []);
      const [problem] = plan.problems();
      assert.deepEqual(
        [problem?.object, problem?.field],
        ["Service default/thief", "spec.externalIPs"],
      );
      assert.match(problem?.message ?? "", new RegExp(`^${address} ${why}; it is not served: `));
    });
  }

  test("T13: where nodes have pods nobody claims an address, also once a node is known later", () => {
    const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
    const settings: TableSettings = { ...SETTINGS, detectLocal: { kind: "NodeCIDR" } };
    const spec = { externalIPs: ["10.73.5.9", "fd73:5::9"] };
    put(store, { name: "thief", spec: { ...spec, ports: [{ port: 80 }] } }, 1);
    const plan = new NodePlan(settings, store, [], new Map());
    store.takeChanges();
    assert.ok(keysOf(plan, "vips").includes("10.73.5.9 . tcp . 80"));
    const podCIDRs = ["10.73.5.0/24", "fd73:5::/64"];
    const node = parseNode({ metadata: { name: "node-2" }, spec: { podCIDRs } });
    assert.equal(node.kind, "ok");
    store.put(node.object);
    plan.update(store, store.takeChanges(), []);
    assert.deepEqual(
      keysOf(plan, "vips").filter((key) => key.startsWith("10.73.")),
      [],
    );
    const what = "where pods have their addresses; it is not served: choose an address";
    assert.deepEqual(
      plan.problems().map(({ message }) => message),
      [
        `10.73.5.9 lies in 10.73.5.0/24, ${what} that nobody else has`,
        `fd73:5::9 lies in fd73:5::/64, ${what} that nobody else has`,
      ],
    );
    store.remove("Node", "node-2");
    plan.update(store, store.takeChanges(), []);
    assert.deepEqual(plan.problems(), []);
  });

  test("addresses beside the ranges of pods are served, whatever a range of everything says", () => {
    const detectLocal = { kind: "ClusterCIDR", cidrs: ["0.0.0.0/0"] } as const;
    const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
    put(store, { name: "web", spec: { externalIPs: ["10.74.0.1"] } }, 1);
    const plan = new NodePlan({ ...SETTINGS, detectLocal }, store, [], new Map());
    assert.deepEqual(plan.problems(), []);
    assert.ok(keysOf(plan, "vips").includes("10.74.0.1 . tcp . 80"));
  });

  test("T13: a ClusterIP that comes later takes its address from whoever claimed it", () => {
    const store = makeStore(["Service", "EndpointSlice", "Node", "ServiceCIDR"]);
    put(store, { name: "thief", spec: { externalIPs: ["10.96.0.2"] } }, 1);
    const plan = new NodePlan(SETTINGS, store, [], new Map());
    store.takeChanges();
    assert.ok(keysOf(plan, "vips").includes("10.96.0.2 . tcp . 80"));
    put(store, { name: "owner" }, 2);
    plan.update(store, store.takeChanges(), []);
    assert.equal(plan.problems()[0]?.object, "Service default/thief");
    store.remove("Service", "default/owner");
    plan.update(store, store.takeChanges(), []);
    assert.deepEqual(plan.problems(), []);
  });

  test("the number of chains does not depend on the number of Services", () => {
    const wishes = (count: number): Wish[] =>
      Array.from({ length: count }, (_, i) => ({ name: `s${i}` }));
    const chains = (plan: NodePlan): number =>
      wholeTransaction(plan.families[0] ?? assert.fail("no plan")).changes.filter(
        ({ kind }) => kind === "add-chain",
      ).length;
    assert.equal(chains(planOf(...wishes(9))), chains(planOf(...wishes(1))));
  });
});
