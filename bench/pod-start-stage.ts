// The place where pods start: two nodes under a real API server and a CA that signs, a server of
// each kind on one, and on the other a network namespace whose addresses become pods one by one.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { ECHO } from "../test/cluster/cluster-fixture.ts";
import { ensureServiceAccount, putPod } from "../test/cluster/cluster-objects.ts";
import { IdentityCluster } from "../test/cluster/identity-rig.ts";
import { runInside } from "./rig.ts";

/** One kind of pods, and the server on the other node that they call. */
export interface PodKind {
  readonly subject: string;
  /** `default` gives identities, and takes nothing without. */
  readonly namespace: "default" | "plain";
  /** Of the pod's own, or one that its node has a certificate for already. */
  readonly account: "own" | "shared";
}

/** A Service would add what its lane costs: servers are called by their address. */
const SERVERS = { default: 1, plain: 2 } as const;
const SHARED_ACCOUNT = "shared";
const FIRST_HOST = 20;
/** TCP repeats what was dropped after a second: too late to be an answer to a pod that starts. */
const TRY_EACH_MS = 20;
const TRY_LIMIT_MS = 900;
const ANSWER_LIMIT_MS = 10_000;

/** Agents have synced, and servers answer, when it resolves. */
export async function startPodStartStage(): Promise<PodStartStage> {
  const mesh = await IdentityCluster.build("strict");
  try {
    const stage = new PodStartStage(mesh);
    await stage.prepare();
    return stage;
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
}

/** Made by `startPodStartStage`. Disposing of it ends everything in it. */
export class PodStartStage implements AsyncDisposable {
  readonly #mesh: IdentityCluster;
  /** Those under way. */
  readonly #tries = new Set<Promise<void>>();
  #pods = 0;

  constructor(mesh: IdentityCluster) {
    this.#mesh = mesh;
  }

  /** Called once, by `startPodStartStage`. */
  async prepare(): Promise<void> {
    const { cluster } = this.#mesh;
    await this.#mesh.startControllers();
    await this.#mesh.startAgents();
    for (const [namespace, number] of Object.entries(SERVERS)) {
      await cluster.putPod(cluster.playground.pod(2, number), { namespace });
    }
    await this.#mesh.certified(1, 2);
  }

  /**
   * A pod appears: its object is written, and it calls a server again and again.
   * @returns milliseconds from the write to the first answer
   */
  async start({ namespace, account }: PodKind): Promise<number> {
    const { playground } = this.#mesh.cluster;
    const { admin } = this.#mesh;
    const name = `starting-${this.#pods}`;
    const address = `10.71.1.${FIRST_HOST + this.#pods++}`;
    const node = playground.node(1);
    const { netns, hostInterface } = playground.pod(1, 1);
    await runInside(playground, netns, `ip address add ${address}/32 dev eth0`);
    await runInside(playground, node.netns, `ip route add ${address} dev ${hostInterface}`);
    const serviceAccountName = account === "own" ? name : SHARED_ACCOUNT;
    await ensureServiceAccount(admin, namespace, serviceAccountName);
    const pod = { name, namespace, nodeName: node.name, podIPs: [address], serviceAccountName };
    const startMs = performance.now();
    const [, answeredMs] = await Promise.all([
      putPod(admin, pod),
      this.#firstAnswer(address, namespace),
    ]);
    return answeredMs - startMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#tries);
    await this.#mesh[Symbol.asyncDispose]();
  }

  async #firstAnswer(sourceAddress: string, namespace: PodKind["namespace"]): Promise<number> {
    const { cluster } = this.#mesh;
    const server = cluster.playground.pod(2, SERVERS[namespace]);
    const probe = cluster.podProbe(1, 1);
    const deadlineMs = performance.now() + ANSWER_LIMIT_MS;
    let answeredMs: number | undefined;
    const ask = async (): Promise<void> => {
      const options = { sourceAddress, timeoutMs: TRY_LIMIT_MS };
      const result = await probe.http(server.addresses.ip, ECHO.http, options);
      if (result.kind !== "reply") return;
      assert.equal(result.echo?.pod, server.name);
      answeredMs ??= performance.now();
    };
    while (answeredMs === undefined) {
      assert.ok(performance.now() < deadlineMs, `${sourceAddress} gets no answer`);
      const asked = ask().finally(() => this.#tries.delete(asked));
      this.#tries.add(asked);
      await delay(TRY_EACH_MS);
    }
    return answeredMs;
  }
}
