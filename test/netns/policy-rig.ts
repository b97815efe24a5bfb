// A cluster of two nodes that enforce policies: pods with servers on ports 80 and 81 over TCP and
// UDP, a Service for each, and an agent on each node.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Manifest,
  namespaceObject,
  type PolicyObjects,
  podObject,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { createPlayground, type Playground } from "../../playground/cluster.ts";
import { type EchoServers, startEchoServers } from "../../playground/echo.ts";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import type { CniShape, PlaygroundPod } from "../../playground/topology.ts";
import {
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { CLUSTER_CIDRS } from "../../service-proxy/plan/packet-cases.ts";
import { agentManifest } from "./mesh-manifests.ts";
import { newRoot } from "./mesh-rig.ts";
import type { PolicyProbe } from "./policy-probe.ts";
import { PolicyProber, type ProberOptions } from "./policy-prober.ts";
import { SERVED_PORTS, serviceObjects } from "./policy-services.ts";
import { FAMILIES, until } from "./served-node.ts";

export interface PolicyRigOptions extends ProberOptions {
  /** Beside one on each node by which the rig sees what its agent enforces. */
  readonly podsPerNode: number;
  /** @default "routed" */
  readonly cni?: CniShape;
  /** Of all Services. */
  readonly serviceLabels?: Readonly<Record<string, string>>;
  /** Pods have identities and speak through tunnels where they can. @default false */
  readonly hasIdentities?: boolean;
  /** Of both agents, beside those that the rig needs. */
  readonly flags?: readonly string[];
}

/** For one look whether something is open by now. */
const GLANCE_MS = 150;
const SENTINELS = "sentinels";
const ENROLLED = { "innermesh.io/identity": "permissive" };

export class PolicyRig implements AsyncDisposable {
  readonly playground: Playground;
  readonly prober: PolicyProber;
  readonly #options: PolicyRigOptions;
  readonly #directory: string;
  readonly #agents: NodeProcess[] = [];
  #echo: EchoServers | undefined;
  #held = 0;

  /** Use `build`. */
  constructor(playground: Playground, options: PolicyRigOptions, directory: string) {
    this.playground = playground;
    this.prober = new PolicyProber(playground, options);
    this.#options = options;
    this.#directory = directory;
  }

  /** Builds it with agents that serve; no policy is there yet. */
  static async build(options: PolicyRigOptions): Promise<PolicyRig> {
    const { podsPerNode, cni = "routed" } = options;
    const shape = { nodes: 2, podsPerNode: podsPerNode + 1, cni };
    const playground = await createPlayground(shape);
    const rig = new PolicyRig(
      playground,
      options,
      await mkdtemp(join(tmpdir(), "innermesh-policy-")),
    );
    try {
      await rig.#start();
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  /** Where agents have their objects from, as their flag. */
  get source(): string {
    return `--source=dir:${this.#directory}`;
  }

  /** Without those by which the rig sees what is enforced. */
  get pods(): readonly PlaygroundPod[] {
    return this.playground.nodes.flatMap(({ pods }) => pods.slice(0, -1));
  }

  /**
   * Puts policies and all that they are about in place of the former ones; resolves when both nodes
   * enforce them. That shows at two pods, whose own policies open another port each time.
   */
  async hold({ namespaces, pods, policies }: PolicyObjects): Promise<void> {
    const port = SERVED_PORTS[++this.#held % 2] ?? 80;
    const sentinels = this.playground.nodes.flatMap((node) => node.pods.slice(-1));
    await this.#put("policies", [
      ...(this.#options.hasIdentities ? namespaces.map(enrolled) : namespaces),
      ...pods,
      ...policies,
      namespaceObject(SENTINELS, {}),
      ...sentinels.map(sentinelObject),
      sentinelPolicy(port),
    ]);
    const [first, second] = sentinels.map(({ name }) => name);
    assert(first !== undefined && second !== undefined);
    for (const family of FAMILIES) {
      await this.#isOpen({ client: first, server: second, family, port });
      await this.#isOpen({ client: second, server: first, family, port });
    }
  }

  /** Waits, after the first `hold`, for the workers and certificates that its options ask for. */
  async ready(): Promise<void> {
    const { serviceLabels, hasIdentities = false } = this.#options;
    const isProxying = serviceLabels !== undefined || hasIdentities;
    if (isProxying) for (const agent of this.#agents) await agent.proxying();
    if (!hasIdentities) return;
    await until("certificates", async () => {
      const expiries = await this.metric("innermesh_certificate_expiry");
      return expiries.length > 0 && expiries.every((expiry) => expiry > 0);
    });
  }

  /** Values of a series on both nodes, of all label sets that hold these. */
  async metric(name: string, ...labels: readonly string[]): Promise<readonly number[]> {
    const pages = await Promise.all(this.#agents.map((agent) => agent.get(10_249, "/metrics")));
    return pages
      .flatMap(({ body }) => body.split("\n"))
      .filter((line) => line.startsWith(name) && labels.every((label) => line.includes(label)))
      .map((line) => Number(line.slice(line.lastIndexOf(" ") + 1)));
  }

  async #isOpen(way: Pick<PolicyProbe, "client" | "server" | "family" | "port">): Promise<void> {
    const probe: PolicyProbe = { ...way, entry: "pod", protocol: "UDP", isAllowed: true };
    await until(`the new policies on the node of ${way.server}`, async () => {
      return (await this.prober.ask(probe, GLANCE_MS)) === "answered";
    });
  }

  async #start(): Promise<void> {
    const { nodes } = this.playground;
    const { serviceLabels = {}, speaks, hasIdentities = false } = this.#options;
    const pods = nodes.flatMap((node) => node.pods);
    const [served, none] = [SERVED_PORTS, []];
    const ports = speaks === "http" ? { http: served, tcp: none } : { http: none, tcp: served };
    this.#echo = await startEchoServers(this.playground, pods, { ...ports, udp: served });
    await this.#put("cluster", [SERVICE_CIDR_MANIFEST, ...nodes.map(nodeManifest)]);
    const services = pods.flatMap((pod, at) => serviceObjects(pod, at + 1, serviceLabels));
    await this.#put("services", services);
    if (hasIdentities) await this.#put("agents", nodes.map(agentManifest));
    const flags = hasIdentities ? await this.#identityFlags() : [];
    for (const node of nodes) await this.#startAgent(node.number, flags);
  }

  /** Writes a file of objects in one step. */
  async #put(name: string, items: readonly Manifest[]): Promise<void> {
    const temporary = join(this.#directory, `${name}.tmp`);
    await writeFile(temporary, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    await rename(temporary, join(this.#directory, `${name}.json`));
  }

  async #identityFlags(): Promise<readonly string[]> {
    const authority = join(this.#directory, "authority");
    const { certificate, key, roots } = newRoot();
    await mkdir(authority);
    const files = { "tls.crt": certificate, "tls.key": key, "ca.crt": roots.join("") };
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(authority, name), text, { mode: 0o600 });
    }
    return ["--identity=off", `--certificate-authority=dir:${authority}`, "--proxy-workers=1"];
  }

  async #startAgent(node: number, flags: readonly string[]): Promise<void> {
    const agent = startNode(this.playground, this.playground.node(node), [
      this.source,
      `--cluster-cidr=${CLUSTER_CIDRS}`,
      "--network-policy=enforce",
      ...(this.#options.flags ?? []),
      ...flags,
    ]);
    this.#agents.push(agent);
    await agent.healthy();
    const isServing = (): boolean => agent.log.some((l) => l.includes("Services are served"));
    await until("the first sync", isServing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) await agent.kill();
    await this.prober[Symbol.asyncDispose]();
    await this.#echo?.[Symbol.asyncDispose]();
    await this.playground[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function enrolled(namespace: Manifest): Manifest {
  const metadata = namespace["metadata"] as { readonly labels: object };
  return { ...namespace, metadata: { ...metadata, labels: { ...metadata.labels, ...ENROLLED } } };
}

/** Without identities: what shows there is the kernel's. */
function sentinelObject({ name, node, addresses }: PlaygroundPod): Manifest {
  const own = { labels: {}, addresses: Object.values(addresses), ports: [] };
  return podObject({ namespace: SENTINELS, name, node, ...own });
}

/** Before all others: what those say about everybody is not about sentinels. */
function sentinelPolicy(port: number): Manifest {
  const sentinels = { namespaces: { matchLabels: { "kubernetes.io/metadata.name": SENTINELS } } };
  const protocols = [{ udp: { destinationPort: { number: port } } }];
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: SENTINELS },
    spec: {
      tier: "Admin",
      priority: 0,
      subject: sentinels,
      ingress: [
        { action: "Accept", from: [sentinels], protocols },
        { action: "Deny", from: [sentinels] },
      ],
      egress: [{ action: "Accept", to: [sentinels] }],
    },
  };
}
