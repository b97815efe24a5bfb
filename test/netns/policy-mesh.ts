// Policies about ServiceAccounts on a mesh of two nodes: a server on node-2, and on each node two
// callers that wear the same labels.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Family } from "../../lib/nft/objects.ts";
import { BACKEND_PORT, type Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { inLane } from "./lane-manifest.ts";
import type { MeshPod } from "./mesh-manifests.ts";
import { Mesh, type MeshOptions, type MeshTarget } from "./mesh-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

export const SERVER = "pod-2-1";
/** They run as `front`. */
export const FRONTS = ["pod-1-2", "pod-2-2"] as const;
/** They run as `batch`. */
export const BATCHES = ["pod-1-3", "pod-2-3"] as const;
/** Has no identity. */
export const PLAIN = "pod-1-1";
export const PODS = [...FRONTS, ...BATCHES, PLAIN] as const;
/** A Service that only its endpoint's identity sends to a worker. */
export const IDENTITY_LANE = 1;
/** One that its label does. */
export const L4_LANE = 2;
/** Neither a handshake nor a refusal. */
export const SILENCE = "silence at connect";

/** Who is let in answers in a fraction of it. */
const SILENCE_MS = 500;
/** For one look whether something is open by now. */
const GLANCE_MS = 150;
const AGREES_WITHIN_MS = 20_000;
const PAUSE_MS = 50;
/** Pods whose policy shows that others hold, too, and their ports that it opens in turn. */
const TURNED = ["pod-1-4", "pod-2-4"] as const;
const TURNS = [8_080, BACKEND_PORT] as const;
/** Of all that call. */
const LABELS = { app: "client" };

/** One call, and how it should end. */
export interface PolicyCall {
  readonly from: string;
  /** Its target's name. */
  readonly way: string;
  readonly target: MeshTarget;
  readonly wanted: string;
}

export class PolicyMesh implements AsyncDisposable {
  readonly mesh: Mesh;
  #held = 0;

  /** Use `build`. */
  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  /** Builds it with agents that serve; no policy is there yet. */
  static async build({ flags = [], ...options }: MeshOptions = {}): Promise<PolicyMesh> {
    const mesh = await Mesh.build({
      podsPerNode: 4,
      exempt: [PLAIN, ...TURNED],
      flags: ["--network-policy=enforce", ...flags],
      ...options,
    });
    const rig = new PolicyMesh(mesh);
    try {
      await rig.#begin();
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  /**
   * Puts policies in place of all former ones; resolves when both nodes enforce them. That shows at
   * one pod of each, whose own policy opens another port each time.
   */
  async hold(...policies: readonly Manifest[]): Promise<void> {
    const port = TURNS[++this.#held % TURNS.length] ?? 0;
    await this.mesh.served.put("policies", [...policies, turnPolicy(port)]);
    for (const [from, to] of [TURNED, TURNED.toReversed()]) {
      for (const family of FAMILIES) {
        const target = { address: this.mesh.pod(to ?? "").addresses[family], port };
        await until(`the new policies on the node of ${to}`, async () => {
          return (await this.ask(from ?? "", target, GLANCE_MS)) !== SILENCE;
        });
      }
    }
  }

  /** Says who all pods are. @param changes what differs from what they are at first */
  async people(changes: Readonly<Record<string, MeshPod>> = {}): Promise<void> {
    const all = (pods: readonly string[], labels: MeshPod["labels"], account?: string) => {
      const ofPod = (name: string): MeshPod => {
        // Who runs as another account is another pod.
        const own = account && { serviceAccount: account, uid: `uid-${name}-${account}` };
        return { ...own, ...(labels && { labels }), ...changes[name] };
      };
      return Object.fromEntries(pods.map((name) => [name, ofPod(name)]));
    };
    await this.mesh.putPods({
      ...all(FRONTS, LABELS, "front"),
      ...all(BATCHES, LABELS, "batch"),
      ...all([PLAIN], LABELS),
      ...all(TURNED, { turn: "yes" }),
      ...all([SERVER], { app: "server" }),
    });
  }

  /** Labels the namespace that all pods are in, beside what enrols them. */
  async label(labels: Readonly<Record<string, string>>): Promise<void> {
    const metadata = {
      name: "default",
      labels: { "innermesh.io/identity": "permissive", ...labels },
    };
    await this.mesh.served.put("namespaces", [{ apiVersion: "v1", kind: "Namespace", metadata }]);
  }

  /** One call. @returns the pod that answers, or how it ends: `silence at connect` */
  async ask(
    from: string,
    { address, port }: MeshTarget,
    timeoutMs: number = SILENCE_MS,
  ): Promise<string> {
    const result = await this.mesh.served.probe(from).tcp(address, port, { timeoutMs });
    if (result.kind === "timeout") return `silence at ${result.phase}`;
    return result.kind === "reply" ? (result.echo?.pod ?? "somebody") : result.kind;
  }

  /** Waits until these pods, and only these, reach the server, each on every way. */
  async serves(...wanted: readonly string[]): Promise<void> {
    const answerOf = (from: string): string => (wanted.includes(from) ? SERVER : SILENCE);
    const calls = PODS.flatMap((from) =>
      FAMILIES.flatMap((family) =>
        Object.entries(this.ways(from, family)).map(([way, target]) => {
          return { from, way, target, wanted: answerOf(from) };
        }),
      ),
    );
    const denied = calls.filter(({ wanted: answer }) => answer === SILENCE);
    await this.agree(calls);
    const { opens } = await this.received(SERVER);
    await this.agree(denied);
    assert.equal((await this.received(SERVER)).opens, opens, "somebody got through");
  }

  /** Makes calls until all end as they should. */
  async agree(calls: readonly PolicyCall[]): Promise<void> {
    const deadlineMs = performance.now() + AGREES_WITHIN_MS;
    let open = calls.map((call) => ({ ...call, answer: "" }));
    for (;;) {
      const asked = open.map(async (call) => ({
        ...call,
        answer: await this.ask(call.from, call.target),
      }));
      open = (await Promise.all(asked)).filter(({ answer, wanted }) => answer !== wanted);
      if (open.length === 0) return;
      if (performance.now() > deadlineMs) break;
      await delay(PAUSE_MS);
    }
    const told = open.map(({ from, way, target, wanted, answer }) => {
      return `${from} by ${way} (${target.address}): ${answer}, not ${wanted}`;
    });
    assert.fail(told.join("\n"));
  }

  /** Ways to the server on which its node sees the pod, by name. */
  ways(from: string, family: Family): Readonly<Record<string, MeshTarget>> {
    const { served } = this.mesh;
    // What has no identity arrives from a NodePort as that node.
    const nodePort = from !== PLAIN && this.mesh.nodePort(nodeOf(from), IDENTITY_LANE, family);
    return {
      pod: this.mesh.at(SERVER, family),
      VIP: served.address("cluster", IDENTITY_LANE, family),
      "VIP of the L4 lane": served.address("cluster", L4_LANE, family),
      ...(nodePort && { NodePort: nodePort }),
    };
  }

  /** TCP segments that a pod ever got, and connections that it took. */
  async received(pod: string): Promise<{ readonly segments: number; readonly opens: number }> {
    const { playground } = this.mesh.served;
    const argv = ["grep", "^Tcp:", "/proc/net/snmp"];
    const { stdout } = await playground.exec(this.mesh.pod(pod).netns, argv);
    const [names = [], values = []] = stdout.split("\n").map((line) => line.split(" "));
    const of = (name: string): number => Number(values[names.indexOf(name)]);
    return { segments: of("InSegs"), opens: of("PassiveOpens") };
  }

  async #begin(): Promise<void> {
    const { mesh } = this;
    await this.people();
    await mesh.served.serve({ number: IDENTITY_LANE, pods: [SERVER] });
    const l4 = mesh.served.manifests({ number: L4_LANE, pods: [SERVER] });
    await mesh.served.put(
      "l4",
      l4.map((item) => inLane(item, { lane: "l4" })),
    );
    await mesh.certified();
    await this.serves(...PODS);
    await until("tunnels", async () => {
      await this.ask(FRONTS[0], mesh.at(SERVER, "ip"));
      const labels = { side: "client", result: "ok" };
      return (await mesh.metric(1, "innermesh_tunnel_connections_total", labels)) > 0;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mesh[Symbol.asyncDispose]();
  }
}

function turnPolicy(port: number): Manifest {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "turn" },
    spec: {
      podSelector: { matchLabels: { turn: "yes" } },
      policyTypes: ["Ingress", "Egress"],
      ingress: [{ ports: [{ port }] }],
      egress: [{}],
    },
  };
}

function nodeOf(pod: string): number {
  return Number(pod.split("-")[1]);
}

/** About the server. */
export function accountPolicy(spec: object, name = "server"): Manifest {
  return {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "ServiceAccountPolicy",
    metadata: { namespace: "default", name },
    spec: { podSelector: { matchLabels: { app: "server" } }, ...spec },
  };
}

/** About the server. */
export function networkPolicy(...labels: readonly Readonly<Record<string, string>>[]): Manifest {
  const from = labels.map((matchLabels) => ({ podSelector: { matchLabels } }));
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "server" },
    spec: { podSelector: { matchLabels: { app: "server" } }, ingress: [{ from }] },
  };
}

/** About the server. */
export function clusterPolicy(tier: "Admin" | "Baseline", ...rules: readonly object[]): Manifest {
  const namespaceSelector = {};
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha2",
    kind: "ClusterNetworkPolicy",
    metadata: { name: tier.toLowerCase() },
    spec: {
      tier,
      priority: 10,
      subject: { pods: { namespaceSelector, podSelector: { matchLabels: { app: "server" } } } },
      ingress: rules,
    },
  };
}

export function meshPolicy(spec: object): Manifest {
  return {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "MeshPolicy",
    metadata: { name: "default" },
    spec,
  };
}

/** Whoever runs as one of these, at the port of servers. */
export function callers(...names: readonly string[]): object {
  const serviceAccounts = names.map((name) => ({ name }));
  const ports = ["TCP", "UDP"].map((protocol) => ({ protocol, port: BACKEND_PORT }));
  return { ingress: [{ from: [{ serviceAccounts }], ports }] };
}
