// One node of a playground under test: backends in pods, objects in a directory, the agent that
// serves them, probes at every sender, and a reader of the node's nf_tables that is not the agent.

import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { createPlayground, type Playground } from "../../playground/cluster.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import { openProbe, type Probe } from "../../playground/probe.ts";
import type { CniShape, PlaygroundNode, PlaygroundPod } from "../../playground/topology.ts";
import {
  type CasePod,
  caseManifests,
  entryAddress,
  type Manifest,
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import {
  type CaseEndpoint,
  CLUSTER_CIDRS,
  type Entry,
} from "../../service-proxy/plan/packet-cases.ts";
import type { ReaderCalls, ReadTable } from "./ruleset-reader.ts";

export const FAMILIES = ["ip", "ip6"] as const;
/** Addresses that reach the node under test from the outside client. */
const ROUTED_TO_NODE = ["10.96.0.0/16", "fd96::/112", "203.0.113.0/24", "2001:db8:113::/112"];
const POLL_MS = 20;
const READER = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  fileURLToPath(new URL("./ruleset-reader.ts", import.meta.url)),
];

export interface ServedNodeOptions {
  /** @default 2 */
  readonly nodes?: number;
  /** @default 2 */
  readonly podsPerNode?: number;
  /** @default "routed" */
  readonly cni?: CniShape;
}

/** A Service of a test: its number decides its addresses, see `entryAddress`. */
export interface TestService {
  readonly number: number;
  readonly pods: readonly (string | CaseEndpoint)[];
  /** Merged into the Service's spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Node-1 of a playground and all that a test needs around it. */
export class ServedNode implements AsyncDisposable {
  readonly playground: Playground;
  readonly node: PlaygroundNode;
  readonly echo: EchoServers;
  readonly directory: string;
  readonly #reader: LineCaller<ReaderCalls>;
  readonly #probes = new Map<string, Probe>();
  #agent: NodeProcess | undefined;

  /** Use `build`. */
  constructor(playground: Playground, echo: EchoServers, directory: string) {
    this.playground = playground;
    this.node = playground.node(1);
    this.echo = echo;
    this.directory = directory;
    this.#reader = new LineCaller(playground.spawn(this.node.netns, READER));
  }

  /** Builds everything but the agent. */
  static async build(options: ServedNodeOptions = {}): Promise<ServedNode> {
    const { nodes = 2, podsPerNode = 2, cni = "routed" } = options;
    const playground = await createPlayground({ nodes, podsPerNode, cni });
    const node = playground.node(1);
    // The kernel spares its ICMP errors: one a second to a host, and a burst of 50 to all; older
    // ones have the second limit for the whole machine. These tests want every one.
    const unlimited = [
      "net.ipv4.icmp_ratelimit=0",
      "net.ipv6.icmp.ratelimit=0",
      "-net.ipv4.icmp_msgs_per_sec=100000",
      "-net.ipv4.icmp_msgs_burst=10000",
    ];
    await playground.sysctl(node.netns, unlimited);
    for (const range of ROUTED_TO_NODE) await playground.routeVip(range, node);
    const pods = playground.nodes.flatMap(({ pods: own }) => own);
    const echo = await startEchoServers(playground, pods);
    const directory = await mkdtemp(join(tmpdir(), "innermesh-served-"));
    const served = new ServedNode(playground, echo, directory);
    await served.putCluster();
    return served;
  }

  get pods(): readonly PlaygroundPod[] {
    return this.playground.nodes.flatMap((node) => node.pods);
  }

  /** Writes a file of objects in one step, so that no half of it is ever read. */
  async put(name: string, items: readonly Manifest[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items };
    const temporary = join(this.directory, `${name}.tmp`);
    await writeFile(temporary, JSON.stringify(list));
    await rename(temporary, join(this.directory, `${name}.json`));
  }

  /** Writes the ServiceCIDR and the Nodes as they are. */
  async putCluster(): Promise<void> {
    const nodes = this.playground.nodes.map(nodeManifest);
    await this.put("cluster", [SERVICE_CIDR_MANIFEST, ...nodes]);
  }

  /** Removes a file of objects. */
  async remove(name: string): Promise<void> {
    await rm(join(this.directory, `${name}.json`));
  }

  /** Writes Services, all in the file of the first one's name. */
  async serve(...services: readonly TestService[]): Promise<void> {
    const [first] = services;
    assert(first !== undefined);
    await this.put(
      `service-${first.number}`,
      services.flatMap((s) => this.manifests(s)),
    );
  }

  /** The Service of a test and its slices as objects. */
  manifests(service: TestService, pods: readonly CasePod[] = this.pods): readonly Manifest[] {
    const { number, pods: endpoints, spec = {} } = service;
    const slice = endpoints.map((pod) => (typeof pod === "string" ? { pod } : pod));
    return caseManifests({ name: "", spec, slices: [slice], claims: [] }, number, pods);
  }

  async unserve(number: number): Promise<void> {
    await this.remove(`service-${number}`);
  }

  /** Where a Service's entry point is for a client of the node. */
  address(entry: Entry, number: number, family: Family): { address: string; port: number } {
    return entryAddress(entry, number, family, this.node);
  }

  /** The agent's flags for this playground. */
  flags(...more: readonly string[]): readonly string[] {
    return [`--source=dir:${this.directory}`, `--cluster-cidr=${CLUSTER_CIDRS}`, ...more];
  }

  /** Starts the agent and waits until it is healthy and has synced. */
  async start(...more: readonly string[]): Promise<NodeProcess> {
    const agent = startNode(this.playground, this.node, this.flags(...more));
    this.#agent = agent;
    await agent.healthy();
    await until("the first sync", () => agent.log.some((l) => l.includes("Services are served")));
    return agent;
  }

  /** The agent that runs, or ran last. */
  get agent(): NodeProcess {
    return this.#agent ?? assert.fail("no agent was started");
  }

  /** The probe of a sender, by its name, started at first use. */
  probe(sender: string): Probe {
    let probe = this.#probes.get(sender);
    if (probe === undefined) {
      const { client, nodes, loadBalancer } = this.playground;
      const hosts = [client, loadBalancer, ...nodes, ...this.pods];
      const host = hosts.find(({ name }) => name === sender) ?? assert.fail(`no ${sender}`);
      probe = openProbe(this.playground, host.netns);
      this.#probes.set(sender, probe);
    }
    return probe;
  }

  /** Runs a program on the node. @returns its standard output */
  async run(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.playground.exec(this.node.netns, argv);
    assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Our table as the kernel holds it. */
  read(family: Family): Promise<ReadTable | null> {
    return this.#reader.call("read", { family });
  }

  /** Keys and data of one set, sorted. */
  async elements(family: Family, set: string): Promise<readonly string[]> {
    const table = await this.read(family);
    return (table?.sets[set] ?? []).map(({ key, data }) => (data ? `${key} : ${data}` : key));
  }

  /**
   * Both tables as one text, equal for equal tables: rules in order, elements sorted. What packets
   * write (affinity) is left out.
   */
  async ruleset(): Promise<string> {
    const tables = await Promise.all(FAMILIES.map((family) => this.read(family)));
    return JSON.stringify(tables);
  }

  /** The ruleset generation of the node: grows with each commit by anybody. */
  generation(): Promise<number> {
    return this.#reader.call("generation", {});
  }

  /** Names of the sets that anybody changed elements of since the last call; see `ReaderCalls`. */
  elementEvents(): Promise<readonly string[]> {
    return this.#reader.call("elementEvents", {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent?.kill();
    await this.#reader[Symbol.asyncDispose]();
    for (const probe of this.#probes.values()) await probe[Symbol.asyncDispose]();
    await this.echo[Symbol.asyncDispose]();
    await this.playground[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Many Services over IPv4 that nobody calls: so that tables have a size. At most 10,000. */
export function bulkManifests(count: number, endpointsEach: number): readonly Manifest[] {
  return Array.from({ length: count }, (_, n) => {
    const name = `bulk-${n}`;
    const clusterIP = `10.96.${100 + (n >> 8)}.${n & 255}`;
    const ports = [{ name: "tcp", protocol: "TCP" }];
    const service: Manifest = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { namespace: "bulk", name },
      spec: { clusterIP, clusterIPs: [clusterIP], ports: ports.map((p) => ({ ...p, port: 80 })) },
    };
    const slice: Manifest = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { namespace: "bulk", name, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: ports.map((p) => ({ ...p, port: 9090 })),
      endpoints: Array.from({ length: endpointsEach }, (__, k) => ({
        addresses: [`10.71.${(n % 200) + 3}.${k + 2}`],
      })),
    };
    return [service, slice];
  }).flat();
}

/**
 * Polls until a condition holds.
 * @returns how long that took, in milliseconds
 * @throws after `limitMs`, with what was awaited
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<number> {
  const startMs = performance.now();
  while (!(await condition())) {
    const elapsedMs = performance.now() - startMs;
    assert(elapsedMs < limitMs, `Cannot see ${what}: not within ${limitMs} ms`);
    await delay(POLL_MS);
  }
  return performance.now() - startMs;
}
