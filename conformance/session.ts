// Opens the doors of a run, in order, and closes them in the other one: API server, agents, facts.

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { KubeConfig } from "@kubernetes/client-node";

import type { Clock } from "../lib/clock/clock.ts";
import type { Agent } from "./agent-identity.ts";
import { type AgentTransport, type OpenControl, StreamTransport } from "./agent-transport.ts";
import { parseAgentsFile } from "./cluster/agents-file.ts";
import { AgentDeployment, findAgentImage } from "./cluster/deployment.ts";
import { execControl } from "./cluster/exec-control.ts";
import { KubeCluster } from "./cluster/kube-cluster.ts";
import { ownControl, socketControl } from "./cluster/socket-control.ts";
import type { ClusterFacts } from "./cluster-facts.ts";
import { ConformanceError } from "./conformance-error.ts";
import { discoverFacts, findOutsideAgent } from "./discovery.ts";

export interface SessionOptions {
  /** @default as kubectl finds it */
  readonly kubeconfig?: string;
  /** @default the kubeconfig's current one */
  readonly context?: string;
  /** Made, and removed afterwards, unless it exists. */
  readonly namespace: string;
  /** @default the image of the innermesh-node DaemonSet */
  readonly image?: string;
  /** Agents that run already, instead of Pods of our own. */
  readonly agentsFile?: string;
  /** Leaves everything in the cluster. */
  readonly keep: boolean;
  readonly clock: Clock;
  /** Where the run is, for a person who waits. */
  readonly onProgress: (line: string) => void;
}

/** Disposing of it removes what it placed in the cluster, whether it was opened in full or not. */
export class Session implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #cleanUps: (() => Promise<void>)[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** @throws ConformanceError, or RefusedError where the user may not do what a run does */
  async open(signal: AbortSignal): Promise<{
    readonly cluster: KubeCluster;
    readonly transport: AgentTransport;
    readonly facts: ClusterFacts;
  }> {
    const config = loadConfig(this.#options);
    const { agentsFile } = this.#options;
    const { cluster, transport } =
      agentsFile === undefined
        ? await this.#deployed(config, signal)
        : await this.#started(config, agentsFile);
    this.#cleanUps.push(() => transport[Symbol.asyncDispose]());
    await cluster.sweep();
    const facts = await discoverFacts(cluster, transport);
    return { cluster, transport, facts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanUp of this.#cleanUps.splice(0).toReversed()) {
      await cleanUp().catch((error: unknown) =>
        this.#options.onProgress(`Cannot clean up: ${String(error)}`),
      );
    }
  }

  async #deployed(config: KubeConfig, signal: AbortSignal) {
    const { clock, namespace, keep, onProgress } = this.#options;
    const image = this.#options.image ?? (await findAgentImage(config, clock));
    const run = randomBytes(4).toString("hex");
    const cluster = new KubeCluster(config, namespace, run, clock);
    const nodes = await cluster.nodes();
    const names = nodes.map((node) => node.name);
    if (names.length === 0)
      throw new ConformanceError("unreachable", "Cannot run: no Node is Ready");
    onProgress(`Placing agents from image ${image} in namespace ${namespace}`);
    const deployment = new AgentDeployment({ config, namespace, run, image, clock });
    this.#later(keep, () => deployment.remove());
    const placed = await deployment.deploy(names, signal);
    this.#later(keep, () => cluster.sweep());
    const hosts = placed.filter((agent) => agent.place === "host");
    const outside = await findOutsideAgent(hosts, clock);
    const through = execControl(config, namespace);
    const open: OpenControl = (agent) => (agent === outside ? ownControl(agent) : through(agent));
    const agents: readonly Agent[] = outside === undefined ? placed : [...placed, outside];
    return { cluster, transport: new StreamTransport({ agents, open, clock }) };
  }

  async #started(config: KubeConfig, path: string) {
    const { clock, keep } = this.#options;
    const text = await readFile(path, "utf8").catch((cause: unknown) => {
      throw new ConformanceError("usage", `Cannot read --agents "${path}"`, { cause });
    });
    const { namespace, agents } = parseAgentsFile(path, text);
    const run = randomBytes(4).toString("hex");
    const cluster = new KubeCluster(config, namespace, run, clock);
    this.#later(keep, () => cluster.sweep());
    const paths = new Map(agents.map(({ name, control }) => [name, control]));
    const transport = new StreamTransport({
      agents,
      open: socketControl(({ name }) => paths.get(name) ?? ""),
      clock,
      onReadiness: (agent, ready) => cluster.writeReadiness(agent, ready),
    });
    return { cluster, transport };
  }

  #later(keep: boolean, cleanUp: () => Promise<void>): void {
    if (!keep) this.#cleanUps.push(cleanUp);
  }
}

function loadConfig({ kubeconfig, context }: SessionOptions): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (cause) {
    const message = `Cannot use kubeconfig "${kubeconfig ?? "(default)"}": ${String(cause)}`;
    throw new ConformanceError("usage", message, { cause });
  }
  if (context !== undefined) config.setCurrentContext(context);
  if (config.getCurrentCluster() !== null) return config;
  const name = config.getCurrentContext();
  throw new ConformanceError("usage", `Cannot use context "${name}": the kubeconfig has no such`);
}
