import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseTcpRoute } from "../../lib/kube/api/tcp-route.ts";
import { type KubeStore, makeStore } from "../../lib/kube/store.ts";
import type { GateAnswer, GatedPods, GateQuestion, LaneGate } from "../model/lane-gate.ts";
import { wholeTransaction } from "./changes.ts";
import type { TableSettings } from "./family-facts.ts";
import { LANE_LABEL } from "./lane.ts";
import { DEFAULT_LANE } from "./lane-marks.ts";
import { NodePlan } from "./node-plan.ts";

const SETTINGS: TableSettings = {
  nodeName: "node-1",
  apiServerAddresses: [],
  detectLocal: { kind: "ClusterCIDR", cidrs: ["10.71.0.0/16"] },
  masqueradeAll: false,
  masqueradeBit: 14,
  proxyMode: "auto",
  lane: DEFAULT_LANE,
  nodePortAddresses: { kind: "primary" },
};
const HERE = "10.71.1.2";
const THERE = "10.71.2.2";

interface Asked {
  readonly inside: readonly string[];
  readonly outside: readonly string[];
  readonly isExternal: boolean;
}

/** Says the same of every entry point, and remembers what was asked last. */
class OneAnswer implements LaneGate {
  answer: GateAnswer = { isGuarded: false, pods: [], blocks: [], deniesNode: false };
  pods: GatedPods = { all: [], isolated: [] };
  readonly asked = new Map<string, readonly Asked[]>();

  gatedPods(): GatedPods {
    return this.pods;
  }

  ask(service: string, family: string, questions: readonly GateQuestion[]): GateAnswer[] {
    const addresses = (list: GateQuestion["inside"]) => list.map(({ address }) => address);
    const asked = questions.map(({ inside, outside, isExternal }): Asked => {
      return { inside: addresses(inside), outside: addresses(outside), isExternal };
    });
    this.asked.set(`${family} ${service}`, asked);
    return questions.map(() => this.answer);
  }
}

interface Wish {
  readonly lane?: string;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly endpoints?: readonly string[];
}

function put(store: KubeStore, name: string, wish: Wish = {}): void {
  const { lane = "l4", spec = {}, endpoints = [HERE, THERE] } = wish;
  const metadata = { namespace: "shop", name, labels: { [LANE_LABEL]: lane } };
  const clusterIP = `10.96.0.${name.charCodeAt(0)}`;
  const service = parseService({ metadata, spec: { clusterIP, ports: [{ port: 80 }], ...spec } });
  assert(service.kind === "ok");
  store.put(service.object);
  const labels = { "kubernetes.io/service-name": name };
  const slice = parseEndpointSlice({
    metadata: { namespace: "shop", name, labels },
    addressType: "IPv4",
    ports: [{ port: 8080 }],
    endpoints: endpoints.map((ip) => ({
      addresses: [ip],
      nodeName: ip === HERE ? "node-1" : "node-2",
    })),
  });
  assert(slice.kind === "ok");
  store.put(slice.object);
}

function open(gate: LaneGate | undefined, fill: (store: KubeStore) => void) {
  const store = makeStore([]);
  fill(store);
  const settings = { ...SETTINGS, ...(gate && { gate }) };
  const plan = new NodePlan(settings, store, ["192.168.77.11"], new Map(), { families: ["ip"] });
  store.takeChanges();
  const [family] = plan.families;
  assert(family !== undefined);
  return {
    store,
    plan: family,
    update: () => plan.update(store, store.takeChanges(), ["192.168.77.11"]),
    keys: (set: string) => [...(family.ledger.wanted.get(set)?.keys() ?? [])].sort(),
  };
}

test("answers are elements under the id that the entry point has in the lane", () => {
  const gate = new OneAnswer();
  gate.answer = { isGuarded: true, pods: [HERE], blocks: ["192.0.2.0/24"], deniesNode: true };
  const { plan, keys } = open(gate, (store) => put(store, "web"));
  const id = plan.ledger.wanted.get("lane-vips")?.values().next().value?.data;
  assert.deepEqual(keys("lane-guarded"), [id]);
  assert.deepEqual(keys("lane-allow"), [`${HERE} . ${id}`]);
  assert.deepEqual(keys("lane-allow-blocks"), [`${id} . 192.0.2.0/24`]);
  assert.deepEqual(keys("lane-host-denied"), [id]);
});

test("where everybody may connect, only pods that need leave are elements", () => {
  const gate = new OneAnswer();
  gate.answer = { isGuarded: false, pods: [HERE], blocks: [], deniesNode: false };
  const { keys } = open(gate, (store) => put(store, "web"));
  assert.deepEqual([keys("lane-guarded"), keys("lane-allow").length], [[], 1]);
});

test("each entry point leads those outside where its policy does", () => {
  const gate = new OneAnswer();
  const spec = {
    type: "NodePort",
    externalTrafficPolicy: "Local",
    ports: [{ port: 80, nodePort: 30_080 }],
  };
  open(gate, (store) => put(store, "web", { spec }));
  const all = [HERE, THERE];
  assert.deepEqual(gate.asked.get("ip shop/web"), [
    { inside: all, outside: all, isExternal: false },
    { inside: all, outside: [HERE], isExternal: true },
  ]);
});

test("the kernel lane has no gate, and a Service that leaves takes its own along", () => {
  const gate = new OneAnswer();
  gate.answer = { isGuarded: true, pods: [], blocks: [], deniesNode: false };
  const { store, update, keys } = open(gate, (filled) => {
    put(filled, "web");
    put(filled, "kernel", { lane: "kernel" });
  });
  assert.deepEqual(gate.asked.get("ip shop/kernel"), []);
  assert.equal(keys("lane-guarded").length, 1);
  store.remove("Service", "shop/web");
  update();
  assert.deepEqual(gate.asked.get("ip shop/web"), []);
  assert.deepEqual(keys("lane-guarded"), []);
});

test("a Service without endpoints is asked about by nobody: it goes on refusing", () => {
  const gate = new OneAnswer();
  gate.answer = { isGuarded: true, pods: [], blocks: [], deniesNode: false };
  const { keys } = open(gate, (store) => put(store, "web", { endpoints: [] }));
  assert.deepEqual(gate.asked.get("ip shop/web"), []);
  assert.deepEqual([keys("lane-vips"), keys("lane-guarded")], [[], []]);
});

test("where routes lead counts, and is asked about again when it changes", () => {
  const gate = new OneAnswer();
  const parent = { group: "", kind: "Service", name: "web", port: 80 };
  const route = parseTcpRoute({
    metadata: { namespace: "shop", name: "r" },
    spec: { parentRefs: [parent], rules: [{ backendRefs: [{ name: "a", port: 80 }] }] },
  });
  assert(route.kind === "ok");
  const { store, update } = open(gate, (filled) => {
    put(filled, "web");
    put(filled, "a", { lane: "auto", endpoints: [THERE] });
    filled.put(route.object);
  });
  const inside = () => gate.asked.get("ip shop/web")?.map((question) => question.inside);
  assert.deepEqual(inside(), [[THERE]]);
  put(store, "a", { lane: "auto", endpoints: ["10.71.2.3"] });
  update();
  assert.deepEqual(inside(), [["10.71.2.3"]]);
});

test("a pod that is isolated from now on needs no Service to change", () => {
  const gate = new OneAnswer();
  const { update, keys } = open(gate, (store) => put(store, "web"));
  gate.pods = { all: [HERE], isolated: [HERE] };
  update();
  assert.deepEqual([keys("lane-pods"), keys("lane-isolated")], [[HERE], [HERE]]);
});

test("without policies the table has no part of it", () => {
  const of = (gate: LaneGate | undefined): string[] => {
    const { plan } = open(gate, (store) => put(store, "web"));
    return wholeTransaction(plan).changes.flatMap((change): string[] => {
      if (change.kind === "add-set") return [change.set.name];
      if (change.kind === "add-chain") return [change.chain.name];
      return change.kind === "add-counter" ? [change.counter] : [];
    });
  };
  const without = new Set(of(undefined));
  assert.deepEqual(
    of(new OneAnswer()).filter((name) => !without.has(name)),
    [
      "lane-pods",
      "lane-isolated",
      "lane-guarded",
      "lane-allow",
      "lane-allow-blocks",
      "lane-host-denied",
      "lane-denied",
      "lane-gate",
      "lane-need-allow",
      "lane-denied",
    ],
  );
});
