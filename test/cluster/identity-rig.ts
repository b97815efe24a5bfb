// A cluster in which pods get identities as in production: two controllers that sign, found through
// their Service, and agents that show bound tokens. Nobody has more rights than the manifests give.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { asRecord } from "../../lib/kube/api/fields.ts";
import { appliedFiles } from "../../manifests/apply-contract.ts";
import type { NodeProcess } from "../../playground/node-process.ts";
import type { PlaygroundNode } from "../../playground/topology.ts";
import { ROOT } from "../../scripts/steps.ts";
import { Metrics, scrape } from "./agent-metrics.ts";
import { eventually } from "./answers.ts";
import type { ApiClient } from "./api-client.ts";
import { installCaAccess } from "./ca-rig.ts";
import { type Cluster, startCluster } from "./cluster-fixture.ts";
import { createService, ensureNamespace, putPod } from "./cluster-objects.ts";
import { writeKubeconfig } from "./kubeconfig.ts";

export const SYSTEM = "innermesh-system";
const AGENTS = "kube-system";
const METRICS_PORT = 15_014;
/** As the cluster's own CA reads and writes its objects: a few looks of 5 s each. */
export const SETTLE_LIMIT_MS = 60_000;

export type Mode = "permissive" | "strict";

/** One `innermesh controller`, on a node. */
export interface Replica {
  readonly metrics: () => Promise<Metrics>;
  readonly log: readonly string[];
  /** As the kubelet ends it. */
  readonly stop: () => Promise<void>;
}

/** Two nodes. No agent runs yet, no controller, and no Pod object exists. */
export class IdentityCluster implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly agents = new Map<string, NodeProcess>();
  readonly replicas: Replica[] = [];
  /** Where Service web answers, which leads to pod-2-1. */
  readonly web: string;

  /** Use `build`. */
  constructor(cluster: Cluster, web: string) {
    this.cluster = cluster;
    this.web = web;
  }

  static async build(mode: Mode): Promise<IdentityCluster> {
    const cluster = await startCluster({ nodes: 2, podsPerNode: 5 });
    try {
      const { admin } = cluster;
      await installCaAccess(admin);
      await ensureNamespace(admin, "default");
      await admin.request("PATCH", "/api/v1/namespaces/default", {
        metadata: { labels: { "innermesh.io/identity": mode } },
      });
      const { spec } = await createService(admin, {
        name: "web",
        spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
      });
      return new IdentityCluster(cluster, spec?.clusterIP ?? assert.fail());
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get admin(): ApiClient {
    return this.cluster.admin;
  }

  agent(node: number): NodeProcess {
    return this.agents.get(`node-${node}`) ?? assert.fail(`no agent on node-${node}`);
  }

  /**
   * Starts a controller on each node, and its Pod object: what the Service's slice is made of.
   * @param server the API server, or what stands before it
   */
  async startControllers(
    flags: readonly string[] = [],
    server = this.cluster.controlPlane.url,
  ): Promise<void> {
    const { nodes } = this.cluster.playground;
    this.replicas.push(
      ...(await Promise.all(nodes.map((node) => this.#startController(node, flags, server)))),
    );
  }

  /** Replaces one controller after the other, as a Deployment does. */
  async replaceControllers(flags: readonly string[]): Promise<void> {
    for (const node of this.cluster.playground.nodes) {
      await this.replicas.shift()?.stop();
      this.replicas.push(await this.#startController(node, flags, this.cluster.controlPlane.url));
    }
  }

  async stopControllers(): Promise<void> {
    await Promise.all(this.replicas.splice(0).map((replica) => replica.stop()));
  }

  async startAgents(flags: readonly string[] = []): Promise<void> {
    const { nodes } = this.cluster.playground;
    await Promise.all(nodes.map((node) => this.startAgent(node, flags)));
  }

  /** Starts an agent whose Pod is labelled as the DaemonSet's. */
  async startAgent(node: PlaygroundNode, flags: readonly string[] = []): Promise<NodeProcess> {
    const token = this.cluster.file("ca-token");
    await writeFile(token, await this.agentToken(node));
    const identity = ["--identity=off", `--certificate-authority-token=${token}`];
    const agent = await this.cluster.startAgent(node, {
      flags: [...identity, "--proxy-workers=1", ...flags],
    });
    this.agents.set(node.name, agent);
    return agent;
  }

  /** What the kubelet projects into the agent's pod. */
  async agentToken({ name: nodeName, addresses }: PlaygroundNode): Promise<string> {
    const name = `innermesh-${nodeName}`;
    const pod = await putPod(this.admin, {
      name,
      namespace: AGENTS,
      nodeName,
      podIPs: [addresses.ip, addresses.ip6],
      hostNetwork: true,
      serviceAccountName: "innermesh-node",
      labels: { "innermesh.io/tunnel": "off" },
    });
    const path = `/api/v1/namespaces/${AGENTS}/serviceaccounts/innermesh-node/token`;
    const boundObjectRef = { apiVersion: "v1", kind: "Pod", name, uid: pod.metadata?.uid };
    const { status } = await this.admin.request<{ status: { token: string } }>("POST", path, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { audiences: ["innermesh-ca"], expirationSeconds: 3_600, boundObjectRef },
    });
    return status.token;
  }

  /** Writes the Pod object of pod k of node n; its ServiceAccount has its name. */
  async putPod(node: number, number: number): Promise<void> {
    const pod = this.cluster.playground.pod(node, number);
    const labels = pod.name === "pod-2-1" ? { app: "web" } : {};
    await this.cluster.putPod(pod, { labels, serviceAccountName: pod.name });
  }

  /** Waits until the agent of a node, or each, has certificates for so many identities. */
  async certified(count: number, node?: number): Promise<void> {
    const agents = node === undefined ? this.agents.values() : [this.agent(node)];
    for (const agent of agents) await hasCertificates(agent, count);
  }

  /** One GET of Service web from a pod: the pod that answered, or how it failed. */
  async ask(node: number, number: number, timeoutMs = 5_000): Promise<string> {
    const probe = this.cluster.podProbe(node, number);
    const result = await probe.http(this.web, 80, { timeoutMs });
    return result.kind === "reply" ? (result.echo?.pod ?? `status ${result.status}`) : result.kind;
  }

  /** Sum of a series of an agent; 0 while there is none. */
  async metric(
    node: number,
    name: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    return (await scrape(this.agent(node))).sum(name, labels) || 0;
  }

  /** What agents trust, as it is published. */
  async bundle(): Promise<{ readonly version: number; readonly roots: number }> {
    const path = `/api/v1/namespaces/${SYSTEM}/configmaps/innermesh-trust-bundle`;
    const { data } = await this.admin.request<{ data: Record<string, string> }>("GET", path);
    const roots = data["cluster.local.pem"]?.match(/-----BEGIN CERTIFICATE-----/g) ?? [];
    return { version: Number(data["version"]), roots: roots.length };
  }

  /** Waits until some controller has said so, with all these words in one line. */
  async told(...words: readonly string[]): Promise<void> {
    await eventually(async () => {
      const lines = this.replicas.flatMap(({ log }) => log);
      const isTold = lines.some((line) => words.every((word) => line.includes(word)));
      assert.ok(isTold, `nobody says ${words.join(" ")}:\n${lines.join("\n")}`);
    }, SETTLE_LIMIT_MS);
  }

  /** Writes the administrator's ConfigMap: node → since, or since/until. */
  async putBans(data: Readonly<Record<string, string>>): Promise<void> {
    const metadata = { namespace: SYSTEM, name: "innermesh-bans" };
    await this.admin.apply({ apiVersion: "v1", kind: "ConfigMap", metadata, data });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }

  async #startController(
    node: PlaygroundNode,
    flags: readonly string[],
    server: string,
  ): Promise<Replica> {
    const { controlPlane, playground } = this.cluster;
    const token = await controlPlane.serviceAccountToken(SYSTEM, "innermesh-controller");
    const kubeconfig = this.cluster.file("controller.yaml");
    const { authorityFile } = controlPlane;
    await writeKubeconfig(kubeconfig, { url: server, authorityFile, credentials: { token } });
    const { ip } = node.addresses;
    const child = playground.spawn(
      node.netns,
      [
        `${ROOT}/bin/innermesh`,
        "controller",
        `--kubeconfig=${kubeconfig}`,
        "--identity=off",
        `--metrics-bind-address=${ip}:${METRICS_PORT}`,
        ...flags,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    await putControllerPod(this.admin, node);
    return replicaOf(child, `http://${ip}:${METRICS_PORT}/metrics`);
  }
}

/** A pod that asks Service web again and again. */
export class AskingPod implements AsyncDisposable {
  answers = 0;
  readonly #stop = new AbortController();
  readonly #asking: Promise<void>;

  constructor(mesh: IdentityCluster, node: number, number: number) {
    this.#asking = this.#ask(mesh, node, number);
  }

  /** @throws when there is an answer before `durationMs` pass */
  async silentFor(durationMs: number): Promise<void> {
    await delay(durationMs);
    assert.equal(this.answers, 0);
  }

  /** Waits for the first answer. */
  async answered(): Promise<void> {
    await eventually(async () => assert.ok(this.answers > 0), SETTLE_LIMIT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#asking;
  }

  async #ask(mesh: IdentityCluster, node: number, number: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if ((await mesh.ask(node, number, 500)) === "pod-2-1") this.answers += 1;
      await delay(20);
    }
  }
}

/** Waits until an agent has certificates for so many of its pods' identities, and lacks none. */
export async function hasCertificates(
  agent: NodeProcess,
  count: number,
  limitMs = SETTLE_LIMIT_MS,
): Promise<void> {
  await eventually(async () => {
    const { body } = await agent.get(10_249, "/metrics");
    const ends = body.matchAll(/^innermesh_certificate_expiry_timestamp_seconds\{.*\} (\S+)$/gm);
    const ofPods = [...ends].filter(([line]) => !line.includes("/sa/innermesh-node"));
    const all = ofPods.map(([, value]) => Number(value) > 0);
    assert.deepEqual([all.length, all.includes(false)], [count, false]);
  }, limitMs);
}

/** As the Deployment makes it, at the address where this one runs. */
async function putControllerPod(admin: ApiClient, { name, addresses }: PlaygroundNode) {
  const deployment = appliedFiles()
    .filter(({ path }) => path === "kustomize/base/controller-deployment.yaml")
    .flatMap(({ objects }) => objects)[0];
  const { metadata, spec } = asRecord(asRecord(deployment?.["spec"])["template"]);
  const path = `/api/v1/namespaces/${SYSTEM}/pods/controller-${name}`;
  await admin.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...asRecord(metadata), name: `controller-${name}`, namespace: SYSTEM },
    spec: { ...asRecord(spec), nodeName: name },
  });
  await admin.request("PATCH", `${path}/status`, {
    status: {
      phase: "Running",
      podIP: addresses.ip,
      podIPs: [{ ip: addresses.ip }, { ip: addresses.ip6 }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  });
}

function replicaOf(child: ChildProcess, page: string): Replica {
  const { stderr } = child;
  assert(stderr !== null);
  const log: string[] = [];
  createInterface({ input: stderr }).on("line", (line) => log.push(line));
  return {
    log,
    metrics: async () => {
      const answer = await fetch(page, { signal: AbortSignal.timeout(5_000) });
      return new Metrics(await answer.text());
    },
    stop: async () => {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const [code] = await exited;
      assert.equal(code, 0, log.join("\n"));
    },
  };
}
