import assert from "node:assert/strict";
import { test } from "node:test";
import { parseService, type Service } from "../../lib/kube/api/service.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { ProxyGroup } from "../model/proxy-plan.ts";
import {
  annotationProblems,
  type EntryPoint,
  KERNEL_LANE,
  type Masquerade,
  type PortLane,
  ProxyPortPlan,
} from "./proxy-port-plan.ts";
import { usableEndpoints } from "./usable-endpoints.ts";

const INTERNAL: EntryPoint = { address: "10.96.0.1", port: 80, kind: "internal" };
const EXTERNAL: EntryPoint = { port: 30_080, kind: "external" };
const GROUP = "shop/web:80 IPv4";
const LOCAL_GROUP = `${GROUP} local`;

interface Wish {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly endpoints?: readonly Endpoint[];
  readonly lane?: PortLane;
  readonly masquerade?: Masquerade;
}

function service({ spec, annotations }: Wish): Service {
  const parsed = parseService({
    metadata: { namespace: "shop", name: "web", annotations },
    spec: { clusterIP: "10.96.0.1", clusterIPs: ["10.96.0.1"], ports: [{ port: 80 }], ...spec },
  });
  assert(parsed.kind === "ok");
  return parsed.object;
}

function plan(wish: Wish): ProxyPortPlan {
  const { endpoints = [endpoint(1, { local: true }), endpoint(2)] } = wish;
  const made = service(wish);
  const [port] = made.ports;
  assert(port !== undefined);
  return new ProxyPortPlan(made, port, {
    family: "IPv4",
    usable: usableEndpoints(endpoints, { nodeName: "node-1", zone: "a" }),
    lane: wish.lane ?? { ...KERNEL_LANE, lane: "l4" },
    masquerade: wish.masquerade ?? "outsiders",
  });
}

function endpoint(number: number, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address: `10.1.0.${number}`,
    port: 8080,
    ready: true,
    serving: true,
    terminating: false,
    local: false,
    ...more,
  };
}

function group(made: ProxyPortPlan, key = GROUP): ProxyGroup {
  made.frontend(INTERNAL);
  return made.groups.get(key) ?? assert.fail([...made.groups.keys()].join());
}

function addresses({ endpoints }: ProxyGroup): readonly string[] {
  return endpoints.map(({ address }) => address);
}

test("pods keep their address at ClusterIPs; strangers do where nobody is masqueraded", () => {
  const sources = (masquerade: Masquerade) => {
    const { inside, outside } = plan({ masquerade }).frontend(INTERNAL) ?? assert.fail();
    return [inside.source, outside.source];
  };
  assert.deepEqual(sources("outsiders"), ["client", "node"]);
  assert.deepEqual(sources("all"), ["node", "node"]);
  assert.deepEqual(sources("nobody"), ["client", "client-always"]);
});

test("external policy Cluster hides clients; Local keeps them, and sends insiders anywhere", () => {
  const side = (spec: Wish["spec"]) => plan({ spec: spec ?? {} }).frontend(EXTERNAL);
  const hidden = { group: GROUP, source: "node" };
  assert.deepEqual(side({})?.outside, hidden);
  assert.deepEqual(side({})?.inside, hidden);
  const local = side({ type: "NodePort", externalTrafficPolicy: "Local" });
  assert.deepEqual(local?.outside, { group: LOCAL_GROUP, source: "client" });
  assert.deepEqual(local?.inside, { group: GROUP, source: "client" });
});

test("the kernel refuses and drops: without endpoints there is no frontend", () => {
  assert.equal(plan({ endpoints: [] }).frontend(INTERNAL), undefined);
  const spec = { internalTrafficPolicy: "Local" };
  assert.equal(plan({ spec, endpoints: [endpoint(2)] }).frontend(INTERNAL), undefined);
  const routes = { kind: "tcp", backends: [] } as const;
  const routed = plan({ endpoints: [], lane: { ...KERNEL_LANE, lane: "l4", routes } });
  assert.notEqual(routed.frontend(INTERNAL), undefined);
});

test("a backend of routes in the kernel's lane has its group all the same", () => {
  const made = plan({ lane: { ...KERNEL_LANE, isBackend: true } });
  assert.deepEqual([...made.groups.keys()], [GROUP]);
});

test("annotations choose the algorithm and the PROXY protocol", () => {
  const annotations = { "innermesh.io/balancing": "maglev", "innermesh.io/proxy-protocol": "v2" };
  const chosen = group(plan({ annotations }));
  assert.equal(chosen.balancing.algorithm, "maglev");
  assert.equal(chosen.proxyProtocol, true);
  assert.equal(group(plan({})).balancing.algorithm, "peak-ewma");
  assert.equal(group(plan({})).proxyProtocol, false);
});

test("an annotation that means nothing is told, with what would", () => {
  const annotations = { "innermesh.io/balancing": "fastest", "innermesh.io/proxy-protocol": "v1" };
  const problems = annotationProblems(service({ annotations }));
  assert.deepEqual(
    problems.map(({ object, field }) => [object, field]),
    Object.keys(annotations).map((key) => ["Service shop/web", `metadata.annotations["${key}"]`]),
  );
  assert.match(problems[0]?.message ?? "", /"fastest" means nothing; use peak-ewma, .*maglev/);
  assert.deepEqual(annotationProblems(service({ annotations: { other: "fastest" } })), []);
});

test("ClientIP affinity hashes, so that workers that share nothing agree", () => {
  const spec = { sessionAffinity: "ClientIP" };
  const annotations = { "innermesh.io/balancing": "random" };
  const { balancing } = group(plan({ spec, annotations }));
  assert.deepEqual(balancing, { algorithm: "ring-hash", affinitySeconds: 10_800 });
});

const HINTED = [
  endpoint(1, { zone: "a", hintedZones: ["a"] }),
  endpoint(2, { zone: "b", hintedZones: ["a"] }),
  endpoint(3, { zone: "a", hintedZones: ["b"] }),
  endpoint(4, { zone: "b", hintedZones: ["b"] }),
];

test("zone hints say who is near, and the others are there to spill over to", () => {
  const { endpoints, balancing } = group(plan({ endpoints: HINTED }));
  assert.equal(balancing.preferZone, "a");
  assert.deepEqual(
    endpoints.map(({ address, zone }) => [address, zone]),
    [
      ["10.1.0.1", "a"],
      ["10.1.0.2", "a"],
      ["10.1.0.3", undefined],
      ["10.1.0.4", "b"],
    ],
  );
});

test("without hints no zone is preferred; affinity stays in the zone that hints name", () => {
  const bare = group(plan({ endpoints: [endpoint(1, { zone: "a" }), endpoint(2, { zone: "b" })] }));
  assert.equal(bare.balancing.preferZone, undefined);
  const sticky = group(plan({ endpoints: HINTED, spec: { sessionAffinity: "ClientIP" } }));
  assert.equal(sticky.balancing.preferZone, undefined);
  assert.deepEqual(addresses(sticky), ["10.1.0.1", "10.1.0.2"]);
});
