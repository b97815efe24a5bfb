// One agent behind a fault-injecting proxy, and what is watched while it suffers: an open-loop
// load on a Service that never changes, and a Service whose one backend is moved from pod to pod.

import assert from "node:assert/strict";
import type { NodeProcess } from "../../playground/node-process.ts";
import type { Probe } from "../../playground/probe.ts";
import type { PlaygroundNode, PlaygroundPod } from "../../playground/topology.ts";
import { scrape } from "./agent-metrics.ts";
import { endsWith, eventually, http } from "./answers.ts";
import type { AgentOptions, Cluster } from "./cluster-fixture.ts";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";
import { moveTo, serveByHand } from "./hand-made-service.ts";

const LOAD_PER_SECOND = 100;
const LOAD_LIMIT_MS = 2 * 3_600_000;
/** Where the time is not what a test is about: generous, for machines that are busy. */
const ARRIVES_WITHIN_MS = 30_000;

export interface FaultRigOptions extends Omit<AgentOptions, "apiServer"> {
  readonly node: PlaygroundNode;
  /** Where the load comes from; a pod of the node. */
  readonly from: PlaygroundPod;
  /** Backends of the Service that never changes. */
  readonly steady: readonly PlaygroundPod[];
  /** Takes turns as the backend of the other Service; two at least. */
  readonly turns: readonly PlaygroundPod[];
  /** Starts the agent. @default as `Cluster.startAgent` does */
  readonly start?: (apiServer: string) => Promise<NodeProcess>;
}

/** Starts a proxy, an agent behind it and two Services; they go with the cluster. */
export async function startFaultRig(cluster: Cluster, options: FaultRigOptions): Promise<FaultRig> {
  const { node, from, start } = options;
  const proxy = await startFaultProxy(cluster.controlPlane);
  cluster.defer(() => proxy[Symbol.asyncDispose]());
  const { url: apiServer } = proxy;
  const names = { steady: `steady-${node.name}`, moving: `moving-${node.name}` };
  const steady = await serveByHand(cluster.admin, names.steady, options.steady);
  const moving = await serveByHand(cluster.admin, names.moving, options.turns.slice(0, 1));
  const agent = await (start?.(apiServer) ?? cluster.startAgent(node, { ...options, apiServer }));
  const rig = new FaultRig(cluster, options, {
    proxy,
    agent,
    steady,
    moving,
    movingName: names.moving,
    probe: cluster.probe(from.netns),
  });
  await endsWith(rig.probe, http(steady), "reply");
  await endsWith(rig.probe, http(moving), "reply");
  return rig;
}

interface RigParts {
  readonly proxy: FaultProxy;
  readonly agent: NodeProcess;
  readonly probe: Probe;
  /** ClusterIPs. */
  readonly steady: string;
  readonly moving: string;
  readonly movingName: string;
}

export class FaultRig {
  readonly cluster: Cluster;
  readonly proxy: FaultProxy;
  readonly agent: NodeProcess;
  readonly probe: Probe;
  readonly #options: FaultRigOptions;
  readonly #parts: RigParts;
  #turn = 0;
  /** Before faults, at most: some watches of the last fault may still wait for their next try. */
  #filesAtRest = 0;

  /** Made by `startFaultRig`. */
  constructor(cluster: Cluster, options: FaultRigOptions, parts: RigParts) {
    this.cluster = cluster;
    this.proxy = parts.proxy;
    this.agent = parts.agent;
    this.probe = parts.probe;
    this.#options = options;
    this.#parts = parts;
  }

  /**
   * Runs a fault under load. Whatever it does: no connection is lost or answered by a wrong pod,
   * the agent lives on, and once healed kernel and API agree and its resources are as before.
   */
  async suffer<T>(fault: () => Promise<T>): Promise<T> {
    const { steady } = this.#parts;
    const before = await scrape(this.agent);
    this.#filesAtRest = Math.max(this.#filesAtRest, before.sum("process_open_fds") ?? 0);
    const options = { ratePerSecond: LOAD_PER_SECOND, durationMs: LOAD_LIMIT_MS };
    const load = this.probe.startLoad(http(steady), options);
    let suffered: T;
    try {
      suffered = await fault();
      this.proxy.faults = {};
      await this.follows();
      await this.cluster.noDrift(this.#options.node);
    } finally {
      this.proxy.faults = {};
      await load.stop();
    }
    const report = await load.done;
    assert.equal(report.failed, 0, `lost: ${JSON.stringify(report.failures.slice(0, 5))}`);
    const legal = this.#options.steady.map(({ name }) => name).toSorted();
    assert.deepEqual(Object.keys(report.pods).toSorted(), legal);
    await eventually(async () => {
      const after = await scrape(this.agent);
      assert.equal(
        after.sum("process_start_time_seconds"),
        before.sum("process_start_time_seconds"),
      );
      const is = after.sum("process_open_fds") ?? Number.NaN;
      assert.ok(is <= this.#filesAtRest + 4, `${is} open files, ${this.#filesAtRest} at rest`);
    });
    return suffered;
  }

  /** Moves the moving Service to the next pod; resolves when the API server has it. */
  async move(): Promise<void> {
    this.#turn += 1;
    await moveTo(this.cluster.admin, this.#parts.movingName, [this.#backend()]);
  }

  /**
   * Waits until the moving Service is served by the pod it was moved to last.
   * @returns how long that took, in milliseconds
   */
  async arrives(limitMs = ARRIVES_WITHIN_MS): Promise<number> {
    const { name } = this.#backend();
    return this.cluster.until(
      this.probe,
      http(this.#parts.moving),
      (result) => result.kind === "reply" && result.echo?.pod === name,
      { limitMs },
    );
  }

  /** Moves the moving Service and waits for it. */
  async follows(limitMs = ARRIVES_WITHIN_MS): Promise<number> {
    await this.move();
    return this.arrives(limitMs);
  }

  #backend(): PlaygroundPod {
    const { turns } = this.#options;
    return turns[this.#turn % turns.length] ?? assert.fail("no pods to take turns");
  }
}
