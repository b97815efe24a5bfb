// A node whose Services 1 and 3 are served by proxy workers, as bytes and as HTTP, and whose
// Service 2 stays in the kernel, with connections that come all the time: what a fault costs, and
// whom.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type NodeProcess, startNode } from "../../playground/node-process.ts";
import type { OpenConnection, RunningLoad } from "../../playground/probe.ts";
import type { LoadReport } from "../../playground/probe-protocol.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { inLane } from "./lane-manifest.ts";
import { FAMILIES, ServedNode, until } from "./served-node.ts";

export const PROXIED = 1;
export const PLAIN = 2;
export const WEB = 3;
const WEB_PORT = 8080;
const PODS = ["pod-1-2", "pod-2-1", "pod-2-2"];
/** An answer that comes late on a busy machine was not lost. */
const ANSWER_WITHIN_MS = 10_000;

export class LaneLife implements AsyncDisposable {
  readonly rig: ServedNode;
  /** Agents that were replaced, or told to end while connections lasted. */
  readonly #former: NodeProcess[] = [];
  readonly #loads: RunningLoad[] = [];

  readonly #flags: readonly string[];

  /** Use `build`. */
  constructor(rig: ServedNode, workers: number) {
    this.rig = rig;
    this.#flags = [`--proxy-workers=${workers}`];
  }

  static async build(workers: number): Promise<LaneLife> {
    const life = new LaneLife(await ServedNode.build(), workers);
    // Senders that looked for a free port among thousands would be what is slow.
    const { playground, pods } = life.rig;
    for (const { netns } of [playground.client, ...pods]) {
      await playground.sysctl(netns, ["net.ipv4.tcp_tw_reuse=1"]);
    }
    await life.proxy("l4", PODS);
    await life.rig.serve({ number: PLAIN, pods: PODS });
    const web = life.rig.manifests({ number: WEB, pods: PODS });
    await life.rig.put(
      "web",
      web.map((item) => onWebPort(inLane(item))),
    );
    await life.start();
    return life;
  }

  /** Writes Service 1 with a lane and endpoints. */
  async proxy(lane: "l4" | "kernel", pods: readonly string[]): Promise<void> {
    const items = this.rig.manifests({ number: PROXIED, pods });
    await this.rig.put(
      "proxied",
      items.map((item) => inLane(item, { lane })),
    );
  }

  /** Starts an agent, beside the one that runs if one does, and waits for its workers. */
  async start(): Promise<void> {
    const agent = await this.rig.start(...this.#flags);
    await agent.proxying();
    await until("a heartbeat", async () => (await this.#aliveElements()).includes("tcp"));
  }

  /** Starts an agent beside the one that runs, and does not wait for anything. */
  startBriefly(): NodeProcess {
    return startNode(this.rig.playground, this.rig.node, this.rig.flags(...this.#flags));
  }

  /** As the next version of a DaemonSet: starts beside the old one, which is told to end then. */
  async upgrade(): Promise<void> {
    const old = this.rig.agent;
    await this.start();
    assert(old.log.some((line) => line.includes("a newer agent takes this node over")));
    this.endLater(old);
  }

  /** Tells an agent to end; it does with its last connection. */
  endLater(agent: NodeProcess): void {
    process.kill(agent.pid, "SIGTERM");
    this.#former.push(agent);
  }

  load(sender: string, number: number, ratePerSecond: number): RunningLoad {
    const { address, port } = this.rig.address("cluster", number, "ip");
    const protocol = number === WEB ? "http" : "tcp";
    const target = { protocol, address, port, timeoutMs: ANSWER_WITHIN_MS } as const;
    const load = this.rig.probe(sender).startLoad(target, { ratePerSecond, durationMs: 600_000 });
    this.#loads.push(load);
    return load;
  }

  /** Ends what a test left behind, so that it cannot disturb the next. */
  async quiet(): Promise<void> {
    await Promise.all(this.#loads.splice(0).map((load) => load.stop()));
    for (const agent of this.#former.splice(0)) await agent.kill();
  }

  /** Connections of every kind of client through workers, of both families. */
  async connect(): Promise<readonly OpenConnection[]> {
    const ways = FAMILIES.flatMap((family) =>
      ["client", "pod-1-1", "node-1"].map((sender) => ({ family, sender })),
    );
    return Promise.all(
      ways.map(async ({ family, sender }) => {
        const { address, port } = this.rig.address("cluster", PROXIED, family);
        const opened = await this.rig.probe(sender).open(address, port);
        return opened.kind === "open" ? opened : assert.fail(JSON.stringify(opened));
      }),
    );
  }

  /** Process ids of the workers of the agent that runs. */
  workers(): readonly number[] {
    return childrenOf(this.rig.agent.pid).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("proxy-worker.ts"),
    );
  }

  /** Connections and requests that workers of the agent that runs have served, as it was told. */
  async served(): Promise<number> {
    await delay(1_100);
    const { body } = await this.rig.agent.get(10249, "/metrics");
    const counts = body.matchAll(/^innermesh_(?:tcp_connections|requests)_total\{.* (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  async #aliveElements(): Promise<string> {
    const listed = await this.rig.run("nft", "list", "set", "ip", "innermesh", "alive");
    return listed.slice(listed.indexOf("elements"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quiet();
    await this.rig[Symbol.asyncDispose]();
  }
}

/** Ends a load and reports what was lost of it. */
export async function lostNothing(load: RunningLoad): Promise<LoadReport> {
  const report = await load.stop();
  assert.deepEqual(report.failures.slice(0, 3), [], `${report.failed} of ${report.started}`);
  return report;
}

export async function allLive(connections: readonly OpenConnection[]): Promise<void> {
  for (const connection of connections) {
    const answer = await connection.say("still there?", ANSWER_WITHIN_MS);
    assert.equal(answer.kind === "reply" && answer.text, "still there?", JSON.stringify(answer));
  }
}

export async function close(connections: readonly OpenConnection[]): Promise<void> {
  await Promise.all(connections.map((connection) => connection.close()));
}

function onWebPort(item: Manifest): Manifest {
  if (item["kind"] !== "EndpointSlice") return item;
  return { ...item, ports: [{ name: "tcp", protocol: "TCP", port: WEB_PORT }] };
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter((word) => word !== "")
      .map(Number),
  );
}
