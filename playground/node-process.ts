// `innermesh node` as a process of a playground's node: started, watched, stopped or killed.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Playground } from "./cluster.ts";
import { openProbe, type Probe } from "./probe.ts";
import type { PlaygroundNode } from "./topology.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/innermesh", import.meta.url));
const HEALTHY_WITHIN_MS = 60_000;
const POLL_MS = 20;
const KEPT_LINES = 200;

/**
 * Starts the agent of one node.
 * @param flags beside the node's name and what cannot be had in a namespace
 */
export function startNode(
  playground: Playground,
  node: PlaygroundNode,
  flags: readonly string[],
): NodeProcess {
  const argv = [
    LAUNCHER,
    "node",
    `--hostname-override=${node.name}`,
    // The conntrack limit belongs to the machine, not to a namespace.
    "--conntrack-max-per-core=0",
    ...flags,
  ];
  const child = playground.spawn(node.netns, argv, { stdio: ["ignore", "pipe", "pipe"] });
  return new NodeProcess(child, openProbe(playground, node.netns));
}

/** One running agent. */
export class NodeProcess {
  /** The last lines it logged. */
  readonly log: string[] = [];
  /** The last lines that its workers logged of what they carried, where somebody reads them. */
  readonly accessLog: string[] = [];
  readonly #child: ChildProcess;
  readonly #probe: Probe;
  readonly #startedMs = performance.now();
  #ended: Promise<unknown> | undefined;

  constructor(child: ChildProcess, probe: Probe) {
    this.#child = child;
    this.#probe = probe;
    const { stdout, stderr } = child;
    assert(stderr !== null);
    for (const [input, lines] of [
      [stdout, this.accessLog],
      [stderr, this.log],
    ] as const) {
      if (input === null) continue;
      createInterface({ input }).on("line", (line) => {
        lines.push(line);
        if (lines.length > KEPT_LINES) lines.shift();
      });
    }
  }

  get pid(): number {
    return this.#child.pid ?? assert.fail("the agent was not started");
  }

  /**
   * Waits until /healthz answers 200.
   * @returns how long that took since the start, in milliseconds
   */
  async healthy(): Promise<number> {
    while (performance.now() - this.#startedMs < HEALTHY_WITHIN_MS) {
      const answer = await this.get(10256, "/healthz");
      if (answer.status === 200) return performance.now() - this.#startedMs;
      if (this.#child.exitCode !== null) break;
      await sleep(POLL_MS);
    }
    const state = this.#child.exitCode === null ? "not healthy" : `ended ${this.#child.exitCode}`;
    throw new Error(`Cannot start innermesh node: ${state}\n${this.log.join("\n")}`);
  }

  /** Waits until a proxy worker takes connections. */
  async proxying(): Promise<void> {
    const startMs = performance.now();
    while (performance.now() - startMs < HEALTHY_WITHIN_MS) {
      const { body } = await this.get(10249, "/metrics");
      if (/^innermesh_proxy_workers [1-9]/m.test(body)) return;
      await sleep(POLL_MS);
    }
    throw new Error(`Cannot start a proxy worker\n${this.log.join("\n")}`);
  }

  /** Waits until it has said so. */
  async logged(text: string): Promise<void> {
    const startMs = performance.now();
    while (!this.log.some((line) => line.includes(text))) {
      assert(performance.now() - startMs < HEALTHY_WITHIN_MS, `${text}: not in its log`);
      await sleep(POLL_MS);
    }
  }

  /** Process ids of its proxy workers. */
  workers(): readonly number[] {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, "utf8");
    return children
      .split(" ")
      .filter((pid) => pid !== "" && commandLine(pid).includes("proxy-worker.ts"))
      .map(Number);
  }

  /** How many connections to a Service its proxy has relayed to their end. */
  async proxiedConnections(service: string): Promise<number> {
    const { body } = await this.get(10249, "/metrics");
    const samples = body.matchAll(/^innermesh_tcp_connections_total\{(.*)\} (\d+)$/gm);
    return [...samples]
      .filter(([, labels = ""]) => labels.includes(`service="${service}"`))
      .reduce((sum, [, , count]) => sum + Number(count), 0);
  }

  /** Asks one of its local pages; status 0 when nobody listens. */
  async get(
    port: number,
    path: string,
  ): Promise<{ readonly status: number; readonly body: string }> {
    const result = await this.#probe.http("127.0.0.1", port, { path });
    if (result.kind !== "reply") return { status: 0, body: "" };
    return { status: result.status ?? 0, body: result.text };
  }

  /** Ends it as the kubelet would, and waits. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it without a chance to clean up, and waits. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#ended === undefined) {
      const running = this.#child.exitCode === null && this.#child.signalCode === null;
      this.#ended = running ? once(this.#child, "exit") : Promise.resolve();
      this.#child.kill(signal);
    }
    await this.#ended;
    await this.#probe[Symbol.asyncDispose]();
  }
}

/** Empty when the process is gone. */
function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
