// A node whose Services are in the L7 lane, with backends that misbehave on demand, and clients in
// namespaces that are honest, or not.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { LineCaller } from "../../playground/line-calls.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import type { PlaygroundHost } from "../../playground/topology.ts";
import { BACKEND_PORT, type Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import type { CaseEndpoint } from "../../service-proxy/plan/packet-cases.ts";
import type { FaultBackendCalls } from "./fault-backend-protocol.ts";
import type {
  ClientTarget,
  FaultClientCalls,
  HonestReport,
  HonestRequest,
} from "./fault-client-protocol.ts";
import { inLane, type ServedHow } from "./lane-manifest.ts";
import { ServedNode, type ServedNodeOptions, until } from "./served-node.ts";

export const SOAK = process.env["INNERMESH_SOAK"] === "1";
const NODE = [process.execPath, "--disable-warning=ExperimentalWarning"];

export type Protocol = "http1" | "http2";

export interface FaultService extends ServedHow {
  readonly pods: readonly (string | CaseEndpoint)[];
}

export interface FaultRigOptions extends ServedNodeOptions {
  /** Pods with a backend of `fault-backend.ts`; others have none at all. */
  readonly backends: Readonly<Record<string, Protocol>>;
}

export class FaultRig implements AsyncDisposable {
  readonly served: ServedNode;
  readonly #backends = new Map<string, LineCaller<FaultBackendCalls>>();
  readonly #clients = new Map<string, LineCaller<FaultClientCalls>>();

  /** Use `build`. */
  constructor(served: ServedNode) {
    this.served = served;
  }

  /** Builds everything but Services and the agent. */
  static async build({ backends, ...options }: FaultRigOptions): Promise<FaultRig> {
    const rig = new FaultRig(await ServedNode.build(options));
    const { echo, pods, playground } = rig.served;
    for (const pod of pods) await echo.stop(pod);
    for (const { netns } of [playground.client, ...pods]) {
      await playground.sysctl(netns, ["net.ipv4.tcp_tw_reuse=1"]);
    }
    const entries = Object.entries(backends);
    await Promise.all(entries.map(([pod, protocol]) => rig.#startBackend(pod, protocol)));
    return rig;
  }

  /** Writes Services by number, and objects beside them; all of them anew. */
  async put(
    services: Readonly<Record<number, FaultService>>,
    more: readonly Manifest[] = [],
  ): Promise<void> {
    const items = Object.entries(services).flatMap(([number, { pods, ...how }]) =>
      this.served.manifests({ number: Number(number), pods }).map((item) => inLane(item, how)),
    );
    await this.served.put("faults", [...items, ...more]);
  }

  /** Starts the agent and waits until Service `number` answers by its worker. */
  async start(number: number, ...flags: readonly string[]): Promise<NodeProcess> {
    const agent = await this.served.start("--proxy-workers=1", "--admin-socket=", ...flags);
    await agent.proxying();
    await until("an answer of the lane", () => this.isProxied("client", number));
    return agent;
  }

  async isProxied(from: string, number: number): Promise<boolean> {
    const writes = [{ bytes: "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n" }];
    const request = { ...this.target(number), writes, forMs: 500 };
    const { received } = await this.client(from).call("exchange", request);
    return received.startsWith("HTTP/1.1 400") && !received.includes("date:");
  }

  target(number: number): ClientTarget {
    return this.served.address("cluster", number, "ip");
  }

  backend(pod: string): LineCaller<FaultBackendCalls> {
    return this.#backends.get(pod) ?? assert.fail(`no backend in ${pod}`);
  }

  /** The client process of a host, started at first use. @param name `pod-1-1`, `client`, `lb` */
  client(name: string, process = 0): LineCaller<FaultClientCalls> {
    const key = `${name} ${process}`;
    let caller = this.#clients.get(key);
    if (caller === undefined) {
      caller = new LineCaller(this.#spawn(this.host(name), "fault-client.ts"));
      this.#clients.set(key, caller);
    }
    return caller;
  }

  /** A steady honest load. */
  honest(
    from: string,
    number: number,
    options: Partial<HonestRequest> = {},
  ): Promise<HonestReport> {
    return this.client(from).call("honest", {
      ...this.target(number),
      ratePerSecond: 100,
      durationMs: 3_000,
      method: "GET",
      path: "/honest/{n}",
      bodyBytes: 0,
      protocol: "http1",
      timeoutMs: 5_000,
      ...options,
    });
  }

  host(name: string): PlaygroundHost {
    const { client, loadBalancer, nodes } = this.served.playground;
    const hosts = [client, loadBalancer, ...nodes, ...this.served.pods];
    return hosts.find((host) => host.name === name) ?? assert.fail(`no ${name}`);
  }

  /** Of the agent that was started last. */
  workerPid(): number {
    const { log } = this.served.agent;
    const line = log.findLast((one) => one.includes("proxy worker starts")) ?? "";
    return Number(/pid=(\d+)/.exec(line)?.[1] ?? assert.fail(log.join("\n")));
  }

  workerRssBytes(): number {
    const status = readFileSync(`/proc/${this.workerPid()}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }

  async metrics(): Promise<string> {
    return (await this.served.agent.get(10249, "/metrics")).body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#clients.values()) await one[Symbol.asyncDispose]();
    await this.served[Symbol.asyncDispose]();
  }

  async #startBackend(pod: string, protocol: Protocol): Promise<void> {
    const backend = new LineCaller<FaultBackendCalls>(
      this.#spawn(this.host(pod), "fault-backend.ts"),
    );
    this.#backends.set(pod, backend);
    await backend.call("listen", { pod, port: BACKEND_PORT, protocol });
  }

  #spawn({ netns }: PlaygroundHost, program: string) {
    const path = fileURLToPath(new URL(`./${program}`, import.meta.url));
    return this.served.playground.spawn(netns, [...NODE, path]);
  }
}

/** One line that a person reads: what was measured. */
export function measured(what: string, values: object): void {
  process.stdout.write(`# ${what}: ${JSON.stringify(values)}\n`);
}
