// A playground with HTTP backends in pods, HTTP clients at every sender, and one `innermesh node`
// that serves Services with routes: what the route tests run on.

import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createPlayground, type Playground } from "../../playground/cluster.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import { netnsPath } from "../../playground/namespaces.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";
import {
  type Manifest,
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { CLUSTER_CIDRS } from "../../service-proxy/plan/packet-cases.ts";
import type { HttpBackendCalls, SeenRequest } from "./http-backend-protocol.ts";
import type { HttpAnswer, HttpCall, HttpClientCalls, HttpResult } from "./http-client-protocol.ts";
import {
  CONSUMER,
  H2C_PORT,
  type HttpService,
  nodePortOf,
  PLAIN_PORT,
  podManifest,
  type RouteSpec,
  routeManifest,
  serviceAddresses,
  serviceManifests,
  SHOP,
  VAULT,
  VAULT_GRANT,
} from "./http-manifests.ts";
import { until } from "./served-node.ts";

/** `pod-1-1` belongs to the producers' namespace, `pod-1-2` to the consumers'. */
export type HttpSender = "pod-1-1" | "pod-1-2" | "node-1" | "client";

/** Answers where no route leads elsewhere. */
export const FRONT_POD = "pod-2-3";
export const V1_POD = "pod-1-3";
export const V2_POD = "pod-2-1";
export const V3_POD = "pod-2-2";
const BACKEND_PODS = [V1_POD, V2_POD, V3_POD, FRONT_POD];

/** Whom routes send to. */
const BACKENDS: readonly HttpService[] = [
  { name: "v1", number: 101, pods: [V1_POD] },
  { name: "v2", number: 102, pods: [V2_POD] },
  { name: "v3", number: 103, pods: [V3_POD] },
  { name: "all", number: 104, pods: [V1_POD, V2_POD, V3_POD] },
  { name: "dead", number: 105, pods: [], deadPods: [V2_POD] },
  { name: "half", number: 106, pods: [V3_POD], deadPods: [V2_POD] },
  { name: "empty", number: 107, pods: [] },
  { name: "safe", number: 108, pods: [V3_POD], namespace: VAULT },
  { name: "sockets", number: 110, pods: [V3_POD], appProtocol: "kubernetes.io/ws" },
  { name: "locked", number: 109, pods: [V3_POD], namespace: "locked" },
];

const PROGRAMS = {
  backend: fileURLToPath(new URL("./http-backend-process.ts", import.meta.url)),
  client: fileURLToPath(new URL("./http-client-process.ts", import.meta.url)),
};

/** Services and routes of one test, which has the Service `case-<number>`. */
export interface HttpStage {
  /** 1–99 */
  readonly number: number;
  readonly routes: readonly RouteSpec[];
  /** Of the Service; what is missing comes from its number. */
  readonly service?: Partial<HttpService>;
}

export class HttpRig implements AsyncDisposable {
  readonly playground: Playground;
  readonly #directory: string;
  readonly #backends: LineCaller<HttpBackendCalls>;
  readonly #clients = new Map<HttpSender, LineCaller<HttpClientCalls>>();
  #agent: NodeProcess | undefined;

  /** Use `build`. */
  constructor(playground: Playground, directory: string) {
    this.playground = playground;
    this.#directory = directory;
    this.#backends = new LineCaller(spawnProgram(playground, playground.underlay, "backend"));
  }

  /** Everything runs when it resolves, and the stages' routes are in force. */
  static async build(stages: readonly HttpStage[]): Promise<HttpRig> {
    const playground = await createPlayground({ nodes: 2, podsPerNode: 3, cni: "routed" });
    const rig = new HttpRig(playground, await mkdtemp(join(tmpdir(), "innermesh-http-")));
    try {
      await rig.#start(stages);
      return rig;
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
  }

  get agent(): NodeProcess {
    return this.#agent ?? assert.fail("no agent was started");
  }

  get pods(): readonly PlaygroundPod[] {
    return this.playground.nodes.flatMap(({ pods }) => pods);
  }

  pod(name: string): PlaygroundPod {
    return this.pods.find((pod) => pod.name === name) ?? assert.fail(`no ${name}`);
  }

  /** Writes one stage: its Service and its routes, new or changed. */
  async stage({ number, routes, service }: HttpStage): Promise<void> {
    const name = `case-${number}`;
    const whole = { name, number, pods: [FRONT_POD], ...service };
    await this.put(name, [
      ...serviceManifests(whole, this.pods),
      ...routes.map((route) => routeManifest(route, name)),
    ]);
  }

  /** Writes a file of objects in one step, so that no half of it is ever read. */
  async put(name: string, items: readonly Manifest[]): Promise<void> {
    const temporary = join(this.#directory, `${name}.tmp`);
    await writeFile(temporary, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    await rename(temporary, join(this.#directory, `${name}.json`));
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#directory, `${name}.json`));
  }

  /** The ClusterIP of a stage and its port for the protocol. */
  target(number: number, protocol: "http1" | "http2" = "http1", family: "ip" | "ip6" = "ip") {
    const port = protocol === "http1" ? PLAIN_PORT : H2C_PORT;
    return { address: serviceAddresses(number)[family], port, protocol };
  }

  /** The NodePort of a stage on node-1. */
  nodePort(number: number, family: "ip" | "ip6" = "ip") {
    return { address: this.playground.node(1).addresses[family], port: nodePortOf(number) };
  }

  client(sender: HttpSender): LineCaller<HttpClientCalls> {
    let caller = this.#clients.get(sender);
    if (caller === undefined) {
      const { client, nodes } = this.playground;
      const host = [client, ...nodes, ...this.pods].find(({ name }) => name === sender);
      assert(host !== undefined);
      caller = new LineCaller(spawnProgram(this.playground, host.netns, "client"));
      this.#clients.set(sender, caller);
    }
    return caller;
  }

  /** One request on a connection of its own. */
  async call(call: HttpCall, from: HttpSender = "pod-1-1"): Promise<HttpResult> {
    const [result] = await this.callMany(call, { count: 1, parallel: 1, reuse: false, from });
    return result ?? assert.fail("no result");
  }

  /** The same request many times. */
  callMany(
    call: HttpCall,
    options: {
      readonly count: number;
      readonly parallel: number;
      readonly reuse: boolean;
      readonly from?: HttpSender;
    },
  ): Promise<readonly HttpResult[]> {
    const { from = "pod-1-1", ...how } = options;
    return this.client(from).call("call", { call, ...how });
  }

  /** One request that must be answered. */
  async answer(call: HttpCall, from?: HttpSender): Promise<HttpAnswer> {
    return answered(await this.call(call, from));
  }

  /** What backends saw under an `x-case`. */
  seen(id: string): Promise<readonly SeenRequest[]> {
    return this.#backends.call("seen", { id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.stop();
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
    await this.#backends[Symbol.asyncDispose]();
    await this.playground[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #start(stages: readonly HttpStage[]): Promise<void> {
    const { playground } = this;
    const node = playground.node(1);
    for (const range of ["10.96.0.0/16", "fd96::/112"]) await playground.routeVip(range, node);
    const serving = BACKEND_PODS.map((name) => {
      const netns = netnsPath(this.pod(name).netns);
      return this.#backends.call("serve", { pod: name, netns });
    });
    await Promise.all(serving);
    await this.put("cluster", [
      SERVICE_CIDR_MANIFEST,
      ...playground.nodes.map(nodeManifest),
      ...this.pods.map((pod) => podManifest(pod, pod.name === "pod-1-2" ? CONSUMER : SHOP)),
      ...BACKENDS.flatMap((service) => serviceManifests(service, this.pods)),
    ]);
    await this.put("grant", [VAULT_GRANT]);
    for (const stage of stages) await this.stage(stage);
    const flags = [`--source=dir:${this.#directory}`, `--cluster-cidr=${CLUSTER_CIDRS}`];
    this.#agent = startNode(playground, node, flags);
    await this.#agent.healthy();
    await this.#agent.proxying();
    const [first] = stages;
    if (first === undefined) return;
    // Whatever it is answered: through the proxy it carries the proxy's mark, or is the proxy's.
    await until("the first route in force", () => this.#isProxied(first.number));
  }

  /** A Service in the kernel lane is answered by its own pod, without a request id. */
  async #isProxied(number: number): Promise<boolean> {
    const result = await this.call({ ...this.target(number), path: "/ready" });
    if (result.kind === "failed") return false;
    if (!result.body.startsWith("{")) return true;
    return seenBy(result).fields.some(([name]) => name === "x-request-id");
  }
}

/** @throws AssertionError when the request got no answer */
export function answered(result: HttpResult): HttpAnswer {
  assert(result.kind === "answer", `no answer: ${JSON.stringify(result)}`);
  return result;
}

/** What the backend says it saw. */
export function seenBy(answer: HttpAnswer): SeenRequest {
  assert(answer.body.startsWith("{"), `${answer.status}, not from a backend: ${answer.body}`);
  const seen: SeenRequest = JSON.parse(answer.body);
  return seen;
}

/** How many requests each backend answered; what no backend answered counts by its status. */
export function countPods(results: readonly HttpResult[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const result of results) {
    const key =
      result.kind === "failed"
        ? result.code
        : result.body.startsWith("{")
          ? seenBy(result).pod
          : `${result.status}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

function spawnProgram(playground: Playground, netns: string, program: keyof typeof PROGRAMS) {
  // node:ffi would announce itself in every test.
  const argv = [process.execPath, "--disable-warning=ExperimentalWarning", PROGRAMS[program]];
  return playground.spawn(netns, argv);
}
