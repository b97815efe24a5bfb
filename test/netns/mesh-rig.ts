// Two nodes whose pods have identities: an agent on each, which signs with a root they share, and a
// listener on the link between the nodes that keeps what passes there.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type AuthorityMaterial,
  makeRootMaterial,
} from "../../netpol-identity/ca/root-material.ts";
import type { OpenConnection, RunningLoad } from "../../playground/probe.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import type { LoadOptions } from "../../playground/probe-protocol.ts";
import type { CniShape, PlaygroundNode, PlaygroundPod } from "../../playground/topology.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { BACKEND_PORT } from "../../service-proxy/plan/packet-case-manifests.ts";
import { agentManifest, type MeshPod, podManifest } from "./mesh-manifests.ts";
import type { MeshLeaf } from "./mesh-leaf.ts";
import type { StrangerCall, StrangerResult } from "./mesh-stranger.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

export type Mode = "off" | "permissive" | "strict";

export interface MeshOptions {
  /** Labels of the namespace that all pods are in. @default permissive */
  readonly mode?: Mode;
  readonly cni?: CniShape;
  readonly podsPerNode?: number;
  /** Pods that are not enrolled, whatever the namespace says. */
  readonly exempt?: readonly string[];
  /** What agents sign with at first. @default a root that lasts for years */
  readonly material?: AuthorityMaterial;
  /** Beside those that identities need. */
  readonly flags?: readonly string[];
}

/** What became of loads. */
export interface LostConnections {
  readonly started: number;
  /** `LOAD at MS: FAILURE`, loads counted from 0. */
  readonly failures: readonly string[];
}

/** Where somebody calls. */
export interface MeshTarget {
  readonly address: string;
  readonly port: number;
}

export interface TalkOptions {
  /** One line. */
  readonly word?: string;
  /** For the greeting, and for the word. */
  readonly timeoutMs?: number;
}

export const TRUST_DOMAIN = "cluster.local";
const STRANGER = fileURLToPath(new URL("./mesh-stranger.ts", import.meta.url));
/** An answer that comes late on a busy machine was not lost. */
const ANSWER_WITHIN_MS = 10_000;
const FLUSH_MS = 300;

export class Mesh implements AsyncDisposable {
  readonly served: ServedNode;
  readonly agents = new Map<string, NodeProcess>();
  /** Directory of what agents sign with. */
  readonly authority: string;
  readonly #directory: string;
  #material: AuthorityMaterial | undefined;
  readonly #flags: readonly string[];
  readonly #pods = new Map<string, MeshPod>();
  /** Agents that were replaced. */
  readonly #former: NodeProcess[] = [];

  /** Use `build`. */
  constructor(served: ServedNode, directory: string, flags: readonly string[]) {
    this.served = served;
    this.#directory = directory;
    this.authority = join(directory, "authority");
    this.#flags = flags;
  }

  static async build({
    mode = "permissive",
    cni,
    podsPerNode,
    exempt = [],
    material = newRoot(),
    flags = [],
  }: MeshOptions = {}): Promise<Mesh> {
    const served = await ServedNode.build({
      ...(cni && { cni }),
      ...(podsPerNode && { podsPerNode }),
    });
    const mesh = new Mesh(served, await mkdtemp(join(tmpdir(), "innermesh-mesh-")), flags);
    try {
      await mkdir(mesh.authority);
      await mesh.putAuthority(material);
      await mesh.enrol(mode);
      await mesh.exempt(exempt);
      await mesh.putPods();
      for (const node of served.playground.nodes) await mesh.startAgent(node);
    } catch (error) {
      await mesh[Symbol.asyncDispose]();
      throw error;
    }
    return mesh;
  }

  agent(node: number): NodeProcess {
    return this.agents.get(`node-${node}`) ?? assert.fail(`no agent on node-${node}`);
  }

  pod(name: string): PlaygroundPod {
    return this.served.pods.find((pod) => pod.name === name) ?? assert.fail(`no ${name}`);
  }

  async startAgent(node: PlaygroundNode): Promise<NodeProcess> {
    const flags = this.served.flags(
      "--identity=off",
      `--certificate-authority=dir:${this.authority}`,
      "--proxy-workers=1",
      ...this.#flags,
    );
    const agent = startNode(this.served.playground, node, flags);
    this.agents.set(node.name, agent);
    await agent.healthy();
    const said = (words: string) => () => agent.log.some((line) => line.includes(words));
    await until("the first sync", said("Services are served"));
    return agent;
  }

  /** As the next version of a DaemonSet: starts beside the old one, which is told to end then. */
  async replaceAgent(node: number): Promise<void> {
    const old = this.agent(node);
    this.#former.push(old);
    await this.startAgent(this.served.playground.node(node));
    await old.logged("a newer agent takes this node over");
    process.kill(old.pid, "SIGTERM");
  }

  /** Sets the mode of the namespace. */
  async enrol(mode: Mode): Promise<void> {
    const labels = mode === "off" ? {} : { "innermesh.io/identity": mode };
    await this.served.put("namespaces", [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "default", labels } },
    ]);
  }

  /** Takes pods with ServiceAccounts of their own out of the mesh; all others are in it again. */
  async exempt(pods: readonly string[]): Promise<void> {
    const labels = { "innermesh.io/identity": "off" };
    const accounts = pods.map((name) => ({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { namespace: "default", name, labels },
    }));
    await this.served.put("accounts", accounts);
  }

  /** Writes all pods, with what was said of them so far. */
  async putPods(changes: Readonly<Record<string, MeshPod>> = {}): Promise<void> {
    for (const [name, pod] of Object.entries(changes)) this.#pods.set(name, pod);
    const { nodes } = this.served.playground;
    await this.served.put("pods", [
      ...nodes.map(agentManifest),
      ...this.served.pods.map((pod) => podManifest(pod, this.#pods.get(pod.name) ?? {})),
    ]);
  }

  /** What the agents sign with from the next second on, and all roots they trust. */
  async putAuthority(material: AuthorityMaterial): Promise<void> {
    const { certificate, key, roots } = material;
    this.#material = material;
    await this.#putAuthorityFile("tls.crt", certificate);
    await this.#putAuthorityFile("tls.key", key);
    await this.#putAuthorityFile("ca.crt", roots.join(""));
  }

  /** What agents sign with. */
  get material(): AuthorityMaterial {
    return this.#material ?? assert.fail("no authority yet");
  }

  /** A foreign peer in one pod's place asks for another's application port. */
  async stranger(
    from: string,
    to: string,
    family: Family,
    { authority = to, ...leaf }: Partial<MeshLeaf> & { readonly authority?: string },
  ): Promise<StrangerResult> {
    const { address, port } = this.at(authority, family);
    const call: StrangerCall = {
      ...leaf,
      address: this.pod(to).addresses[family],
      authority: family === "ip6" ? `[${address}]:${port}` : `${address}:${port}`,
    };
    const argv = [process.execPath, STRANGER, JSON.stringify(call)];
    const { code, stdout, stderr } = await this.served.playground.exec(this.pod(from).netns, argv);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  }

  /** What else agents are to believe, as a published bundle says it: bans among them. */
  async putTrust(data: Readonly<Record<string, string>>): Promise<void> {
    await this.#putAuthorityFile("trust.json", JSON.stringify(data));
  }

  async #putAuthorityFile(name: string, text: string): Promise<void> {
    await writeFile(join(this.authority, `${name}.tmp`), text, { mode: 0o600 });
    await rename(join(this.authority, `${name}.tmp`), join(this.authority, name));
  }

  /** New connections at fixed times until it is stopped. */
  load(from: string, target: MeshTarget, options: Partial<LoadOptions> = {}): RunningLoad {
    const forever = { ratePerSecond: 50, durationMs: 600_000, timeoutMs: ANSWER_WITHIN_MS };
    const probe = this.served.probe(from);
    return probe.startLoad({ protocol: "tcp", ...target }, { ...forever, ...options });
  }

  /** Ends loads. @returns how many connections there were, and those without an answer */
  async lost(loads: readonly RunningLoad[]): Promise<LostConnections> {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    return {
      started: reports.reduce((sum, { started }) => sum + started, 0),
      failures: reports.flatMap(({ failures }, load) =>
        failures.map(
          ({ startMs, failure }) => `${load} at ${startMs.toFixed(0)}: ${JSON.stringify(failure)}`,
        ),
      ),
    };
  }

  /** Opens a connection that stays. */
  async open(from: string, { address, port }: MeshTarget): Promise<OpenConnection> {
    const options = { timeoutMs: ANSWER_WITHIN_MS };
    const opened = await this.served.probe(from).open(address, port, options);
    assert(opened.kind === "open", `${from} cannot open ${address}: ${opened.kind}`);
    return opened;
  }

  /** Sum of a series of an agent over all label sets that hold these. */
  async metric(node: number, name: string, labels: Readonly<Record<string, string>> = {}) {
    const { body } = await this.agent(node).get(10_249, "/metrics");
    let sum = 0;
    for (const line of body.split("\n")) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      const wanted = Object.entries(labels).every(([key, v]) => line.includes(`${key}="${v}"`));
      if (wanted) sum += Number(line.slice(line.lastIndexOf(" ") + 1));
    }
    return sum;
  }

  /** Waits until both nodes have a certificate for each of their enrolled identities. */
  async certified(): Promise<void> {
    for (const node of this.served.playground.nodes) {
      await until(`certificates on ${node.name}`, async () => {
        const { body } = await this.agent(node.number).get(10_249, "/metrics");
        const expiries = [...body.matchAll(/^innermesh_certificate_expiry\S+ (\S+)$/gm)];
        return expiries.length > 0 && expiries.every(([, value]) => Number(value) > 0);
      });
    }
  }

  /** A pod's application port. */
  at(pod: string, family: Family): MeshTarget {
    return { address: this.pod(pod).addresses[family], port: BACKEND_PORT };
  }

  /** Where a Service's NodePort is on one node. */
  nodePort(node: number, service: number, family: Family): MeshTarget {
    const { port } = this.served.address("nodePort", service, family);
    return { address: this.served.playground.node(node).addresses[family], port };
  }

  /**
   * Opens a connection, says a word and hears it again.
   * @returns `SERVER sees CLIENT`, by their names, or how it failed
   */
  async talk(
    from: string,
    { address, port }: MeshTarget,
    { word = "hello", timeoutMs = ANSWER_WITHIN_MS }: TalkOptions = {},
  ): Promise<string> {
    const opened = await this.served.probe(from).open(address, port, { timeoutMs });
    if (opened.kind !== "open") return opened.kind;
    const answer = await opened.say(word, timeoutMs);
    await opened.close();
    if (answer.kind !== "reply") return `greeting, then ${answer.kind}`;
    assert.equal(answer.text, word);
    const { echo } = opened.greeting;
    return `${echo?.pod} sees ${this.#nameOf(echo?.client)}`;
  }

  /** Waits until both nodes have certificates, and carry calls of the other one's pods. */
  async ready(): Promise<void> {
    await this.certified();
    const ways = [
      ["pod-1-1", "pod-2-1"],
      ["pod-2-1", "pod-1-1"],
    ] as const;
    for (const [from, to] of ways) {
      for (const family of FAMILIES)
        await this.hears(from, this.at(to, family), `${to} sees ${from}`);
      await this.#tunnelsFrom(this.pod(from), this.pod(to));
    }
  }

  /** While the kernel does not know of the first worker yet, permissive pods speak plaintext. */
  async #tunnelsFrom(from: PlaygroundPod, to: PlaygroundPod): Promise<void> {
    const { node } = from;
    const number = this.served.playground.nodes.find(({ name }) => name === node)?.number ?? 0;
    await until(`a tunnel from ${node}`, async () => {
      await this.talk(from.name, this.at(to.name, "ip"));
      const labels = { side: "client", result: "ok" };
      return (await this.metric(number, "innermesh_tunnel_connections_total", labels)) > 0;
    });
  }

  /** Waits until what somebody says is heard so. */
  async hears(from: string, target: MeshTarget, answer: string): Promise<void> {
    await until(`${from}: ${answer}`, async () => (await this.talk(from, target)) === answer);
  }

  /** Captures what crosses the link between the nodes while something runs. */
  async captured(during: () => Promise<void>): Promise<Buffer> {
    const [node] = this.served.playground.nodes;
    assert(node !== undefined);
    const file = join(this.#directory, `capture-${randomBytes(4).toString("hex")}`);
    const argv = ["tcpdump", "-i", "eth0", "-U", "--immediate-mode", "-s", "0", "-w", file];
    const child = this.served.playground.spawn(node.netns, argv, {
      stdio: ["ignore", "ignore", "pipe"],
    });
    assert(child.stderr !== null);
    await once(child.stderr, "data");
    await during();
    // The last packets are on their way from the kernel.
    await delay(FLUSH_MS);
    child.kill("SIGINT");
    await once(child, "exit");
    return readFile(file);
  }

  #nameOf(address: string | undefined): string {
    const { nodes, client } = this.served.playground;
    const hosts = [...this.served.pods, ...nodes, client];
    const host = hosts.find(({ addresses: { ip, ip6 } }) => ip === address || ip6 === address);
    return host?.name ?? `${address}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of [...this.#former, ...this.agents.values()]) await agent.kill();
    await this.served[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A root of its own, which lasts for years. */
export function newRoot(): AuthorityMaterial {
  return makeRootMaterial({ trustDomain: TRUST_DOMAIN, nowMs: Date.now(), randomBytes });
}
