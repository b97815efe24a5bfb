// A cluster whose data path is real: playground nodes and pods under a real control plane, and
// `innermesh node` on each node with a service account that may do no more than kube-proxy's.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import type { Playground } from "../../playground/cluster.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import { openProbe, type Probe } from "../../playground/probe.ts";
import type { ProbeRequest, ProbeResult } from "../../playground/probe-protocol.ts";
import {
  clusterCidrs,
  type PlaygroundNode,
  type PlaygroundPod,
} from "../../playground/topology.ts";
import type { ApiClient } from "./api-client.ts";
import { ensureNamespace, type PodSpec, putPod } from "./cluster-objects.ts";
import type { ControlPlane } from "./control-plane.ts";
import { type MachineOptions, registerMachine, startMachines } from "./machines.ts";

/** Who the agents are. */
export const NODE_ACCOUNT = { namespace: "kube-system", name: "innermesh-node" };
/** Ports of the echo server in every pod. */
export const ECHO = { http: 8080, tcp: 9090, udp: 9090 } as const;
/** The bound after every fault: kernel and API agree again. */
export const HEAL_LIMIT_MS = 30_000;
const POLL_MS = 20;
const CIDRS = `${clusterCidrs.ip},${clusterCidrs.ip6}`;
const MANIFESTS = join(import.meta.dirname, "../../manifests/kustomize/base");
/** What gives agents their rights in a real cluster: more of them would prove nothing. */
const ACCESS_FILES = ["service-account.yaml", "cluster-role.yaml", "cluster-role-binding.yaml"];
const DRIFT_PROGRAM = join(import.meta.dirname, "ruleset-drift.ts");

export interface AgentOptions {
  /** @default the control plane's own */
  readonly apiServer?: string;
  /** File with the bearer token. @default one that the fixture wrote */
  readonly tokenFile?: string;
  /** More flags, beside the configuration file. */
  readonly flags?: readonly string[];
  /** Fields of KubeProxyConfiguration that win over the fixture's. */
  readonly configuration?: Readonly<Record<string, unknown>>;
}

/**
 * Builds playground and control plane, registers Nodes (odd ones in zone a, even ones in zone b)
 * and gives every pod an echo server. No agent runs yet, and no Pod object exists.
 */
export async function startCluster(options: MachineOptions): Promise<Cluster> {
  const stack = new AsyncDisposableStack();
  try {
    const { playground, controlPlane } = await startMachines(options, stack);
    const pods = playground.nodes.flatMap((node) => node.pods);
    const echo = stack.use(
      await startEchoServers(playground, pods, {
        http: [ECHO.http],
        tcp: [ECHO.tcp],
        udp: [ECHO.udp],
      }),
    );
    await Promise.all(
      playground.nodes.map((node) => {
        const zone = node.number % 2 === 1 ? "a" : "b";
        const labels = { "topology.kubernetes.io/zone": zone };
        return registerMachine(controlPlane.admin, node, labels);
      }),
    );
    const tokenFile = await createNodeAccount(controlPlane);
    return new Cluster({ playground, controlPlane, echo, tokenFile }, stack.move());
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface ClusterParts {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
  readonly echo: EchoServers;
  readonly tokenFile: string;
}

/** A running cluster. Disposing of it ends everything in it. */
export class Cluster implements AsyncDisposable {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
  readonly echo: EchoServers;
  readonly #tokenFile: string;
  readonly #stack: AsyncDisposableStack;
  readonly #probes = new Map<string, Probe>();
  #files = 0;

  /** Made by `startCluster`. */
  constructor(parts: ClusterParts, stack: AsyncDisposableStack) {
    this.playground = parts.playground;
    this.controlPlane = parts.controlPlane;
    this.echo = parts.echo;
    this.#tokenFile = parts.tokenFile;
    this.#stack = stack;
  }

  /** Acts as cluster administrator. */
  get admin(): ApiClient {
    return this.controlPlane.admin;
  }

  /** A file of its own among those that go with the cluster. */
  file(name: string): string {
    this.#files += 1;
    return join(this.controlPlane.directory, `${this.#files}-${name}`);
  }

  /** The probe of one namespace, started at first use. */
  probe(netns: string): Probe {
    const known = this.#probes.get(netns);
    if (known !== undefined) return known;
    const probe = this.#stack.use(openProbe(this.playground, netns));
    this.#probes.set(netns, probe);
    return probe;
  }

  /** The probe of pod k of node n. */
  podProbe(node: number, pod: number): Probe {
    return this.probe(this.playground.pod(node, pod).netns);
  }

  /** Starts the agent of a node and waits until it is healthy. */
  async startAgent(node: PlaygroundNode, options: AgentOptions = {}): Promise<NodeProcess> {
    const agent = await this.launchAgent(node, options);
    await agent.healthy();
    return agent;
  }

  /**
   * Starts the agent of a node from a KubeProxyConfiguration file, as kube-proxy's DaemonSet
   * does. It starts in the moment in which this resolves.
   */
  async launchAgent(node: PlaygroundNode, options: AgentOptions = {}): Promise<NodeProcess> {
    const config = await this.writeConfiguration(options);
    const { flags = [] } = options;
    const agent = startNode(this.playground, node, [`--config=${config}`, ...flags]);
    this.#stack.defer(() => agent.kill());
    return agent;
  }

  /** Writes the KubeProxyConfiguration of an agent. */
  async writeConfiguration(options: AgentOptions = {}): Promise<string> {
    const file = this.file("config.yaml");
    const configuration = {
      apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
      kind: "KubeProxyConfiguration",
      clientConnection: { kubeconfig: await this.nodeKubeconfig(options) },
      mode: "nftables",
      clusterCIDR: CIDRS,
      // The limit belongs to the machine, not to a namespace.
      conntrack: { maxPerCore: 0 },
      ...options.configuration,
    };
    await writeFile(file, stringify(configuration));
    return file;
  }

  /** Writes the kubeconfig of an agent: its token stays in a file, as a projected one does. */
  async nodeKubeconfig(options: AgentOptions = {}): Promise<string> {
    const { apiServer = this.controlPlane.url, tokenFile = this.#tokenFile } = options;
    const cluster = {
      server: apiServer,
      "certificate-authority": this.controlPlane.authorityFile,
    };
    const file = this.file("kubeconfig.yaml");
    const content = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster }],
      users: [{ name: "node", user: { tokenFile } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "node" } }],
      "current-context": "test",
    };
    await writeFile(file, stringify(content), { mode: 0o600 });
    return file;
  }

  /** Writes the Pod object of a playground pod: what the kubelet would report. */
  async putPod(
    pod: PlaygroundPod,
    spec: Partial<Omit<PodSpec, "name" | "nodeName" | "podIPs">> = {},
  ): Promise<void> {
    const podIPs = [pod.addresses.ip, pod.addresses.ip6];
    await putPod(this.admin, { name: pod.name, nodeName: pod.node, podIPs, ...spec });
  }

  /**
   * Probes until `isDone` says so of one result.
   * @param pollMs pause between two probes
   * @returns how long that took, in milliseconds
   * @throws with the last result when `limitMs` pass
   */
  async until(
    probe: Probe,
    request: ProbeRequest,
    isDone: (result: ProbeResult) => boolean,
    { limitMs = HEAL_LIMIT_MS, pollMs = POLL_MS } = {},
  ): Promise<number> {
    const startMs = performance.now();
    for (;;) {
      const result = await probe.try({ timeoutMs: 300, ...request });
      const durationMs = performance.now() - startMs;
      if (isDone(result)) return durationMs;
      if (durationMs > limitMs) {
        const { address, port } = request;
        const seen = JSON.stringify(result);
        throw new Error(`Cannot see the change at ${address}:${port} in ${limitMs} ms: ${seen}`);
      }
      await delay(pollMs);
    }
  }

  /** What differs between a node's kernel and a fresh plan from the API server, in words. */
  async drift(node: PlaygroundNode): Promise<readonly string[]> {
    const kubeconfig = await this.controlPlane.kubeconfig("admin");
    const words = ["--disable-warning=ExperimentalWarning", DRIFT_PROGRAM];
    const flags = [
      `--kubeconfig=${kubeconfig}`,
      `--hostname-override=${node.name}`,
      `--cluster-cidr=${CIDRS}`,
    ];
    const argv = [process.execPath, ...words, ...flags];
    const others = this.playground.nodes.filter(({ name }) => name !== node.name);
    const addresses = others.flatMap((other) => [other.addresses.ip, other.addresses.ip6]);
    const input = JSON.stringify(addresses);
    const { code, stdout, stderr } = await this.playground.exec(node.netns, argv, { input });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as readonly string[];
  }

  /** Waits until nothing differs. @throws with the differences when `limitMs` pass */
  async noDrift(node: PlaygroundNode, limitMs = HEAL_LIMIT_MS): Promise<void> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const drift = await this.drift(node);
      if (drift.length === 0) return;
      assert.ok(performance.now() < deadline, `${node.name} differs:\n${drift.join("\n")}`);
      await delay(200);
    }
  }

  /** Has something ended with the cluster, before it. */
  defer(end: () => Promise<void>): void {
    this.#stack.defer(end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/**
 * Makes the agents' service account with its role.
 * @returns the file with its token
 */
export async function createNodeAccount(controlPlane: ControlPlane): Promise<string> {
  const { admin, directory } = controlPlane;
  const { namespace, name } = NODE_ACCOUNT;
  await ensureNamespace(admin, namespace);
  for (const file of ACCESS_FILES) {
    await admin.applyYaml(await readFile(join(MANIFESTS, file), "utf8"));
  }
  const tokenFile = join(directory, "node-token");
  await writeFile(tokenFile, await controlPlane.serviceAccountToken(namespace, name));
  return tokenFile;
}
