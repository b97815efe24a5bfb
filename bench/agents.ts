// The two programs that are compared, as processes on a playground node. Both are started with
// what they need to work in a namespace, and else as they are by default.

import assert from "node:assert/strict";
import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { PlaygroundNode } from "../playground/topology.ts";
import { Metrics } from "../test/cluster/agent-metrics.ts";
import { ensureBinaries } from "../test/cluster/binaries.ts";
import { machineMs } from "./machine-clock.ts";
import { cpuMsOf, processTree } from "./process-cost.ts";
import type { Rig } from "./rig.ts";

const LAUNCHER = fileURLToPath(new URL("../bin/innermesh", import.meta.url));
const SETTLE_STEP_MS = 1_000;
/** A step that costs less than this is idle: timers and heartbeats. */
const SETTLED_CPU_MS = 30;
const SETTLE_LIMIT_MS = 60_000;
const KEPT_LOG_BYTES = 10_000;

/** One of the programs. */
export interface AgentProgram {
  /** With its version. */
  readonly subject: string;
  /**
   * Starts it on a node.
   * @param withTrace also counts the bytes that go to the kernel, which slows some programs
   */
  start(rig: Rig, node: PlaygroundNode, withTrace?: boolean): Promise<Agent>;
}

/** What reached the kernel since the start. */
export interface KernelWork {
  /** Time in commits; for kube-proxy, which programs through `nft`, the time that `nft` ran. */
  readonly ms: number;
  /** Netlink bytes sent. NaN when they were not counted. */
  readonly sentBytes: number;
}

export const innermesh: AgentProgram = {
  subject: "innermesh",
  async start(rig, node) {
    const flags = commonFlags(rig, node);
    const agent = new Agent(
      rig,
      node,
      { argv: [LAUNCHER, "node", ...flags], path: [] },
      async () => {
        const metrics = await agent.metrics();
        const ms = 1_000 * metrics.sum("innermesh_nft_commit_duration_seconds_sum");
        return { ms, sentBytes: metrics.sum("innermesh_nft_sent_bytes_total") };
      },
    );
    return agent;
  },
};

/** @throws BinaryError when it is not there and cannot be built */
export async function findKubeProxy(): Promise<AgentProgram> {
  const { "kube-proxy": program } = await ensureBinaries(["kube-proxy"]);
  const { stdout } = await promisify(execFile)(program, ["--version"]);
  const version = /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  assert(version !== undefined, `kube-proxy says ${stdout}`);
  let starts = 0;
  return {
    subject: `kube-proxy ${version}`,
    async start(rig, node, withTrace = false) {
      const directory = join(rig.controlPlane.directory, `nft-${++starts}`);
      await wrapNft(directory, withTrace);
      const argv = [program, "--proxy-mode=nftables", ...commonFlags(rig, node)];
      return new Agent(rig, node, { argv, path: [directory] }, () => readCalls(directory));
    },
  };
}

function commonFlags(rig: Rig, node: PlaygroundNode): string[] {
  return [
    `--kubeconfig=${rig.kubeconfig}`,
    `--hostname-override=${node.name}`,
    `--cluster-cidr=${rig.clusterCidr}`,
    // The conntrack limit belongs to the machine, not to a namespace.
    "--conntrack-max-per-core=0",
  ];
}

/** A running agent. */
export class Agent {
  /** By the machine's clock: just before the process was made. */
  readonly startedMs: number;
  readonly kernelWork: () => Promise<KernelWork>;
  readonly #rig: Rig;
  readonly #node: PlaygroundNode;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #log = "";

  constructor(
    rig: Rig,
    node: PlaygroundNode,
    command: { readonly argv: readonly string[]; readonly path: readonly string[] },
    kernelWork: () => Promise<KernelWork>,
  ) {
    this.#rig = rig;
    this.#node = node;
    this.kernelWork = kernelWork;
    const path = [...command.path, process.env["PATH"]].join(":");
    this.startedMs = machineMs();
    this.#child = rig.playground.spawn(node.netns, command.argv, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, PATH: path },
    });
    this.#ended = once(this.#child, "exit");
    this.#child.stderr?.on("data", (bytes: Buffer) => {
      this.#log = (this.#log + bytes.toString()).slice(-KEPT_LOG_BYTES);
    });
  }

  get pid(): number {
    return this.#child.pid ?? assert.fail("the agent was not started");
  }

  /** Lets `work` fail with the agent's last words when the agent ends first. */
  async whileRunning<T>(work: Promise<T>): Promise<T> {
    const ended = this.#ended.then((): never => {
      throw new Error(`Cannot measure ${this.#child.spawnargs.join(" ")}: it ended\n${this.#log}`);
    });
    return Promise.race([work, ended]);
  }

  /** Waits until it has nothing to do any more. */
  async settle(): Promise<void> {
    const deadlineMs = machineMs() + SETTLE_LIMIT_MS;
    for (let before = -Infinity; machineMs() < deadlineMs; ) {
      // A child that still runs counts for itself: for its parent it does once it has ended.
      const cpuMs = processTree(this.pid).reduce((sum, pid) => sum + cpuMsOf(pid), 0);
      if (Math.abs(cpuMs - before) < SETTLED_CPU_MS) return;
      before = cpuMs;
      await delay(SETTLE_STEP_MS);
    }
    throw new Error(`Cannot measure ${this.#child.spawnargs.join(" ")}: it never rests`);
  }

  async metrics(): Promise<Metrics> {
    const argv = ["curl", "--silent", "--fail", "http://127.0.0.1:10249/metrics"];
    const { code, stdout } = await this.#rig.playground.exec(this.#node.netns, argv);
    assert.equal(code, 0, "the agent answers /metrics");
    return new Metrics(stdout);
  }

  /** Ends it as the kubelet would; its rules stay. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#ended;
  }
}

/** Puts an `nft` into `directory` that runs the real one and writes down how long it ran. */
async function wrapNft(directory: string, withTrace: boolean): Promise<void> {
  const { stdout } = await promisify(execFile)("sh", ["-c", "command -v nft"]);
  const trace = `strace -qq --trace=sendmsg,sendto --output=${directory}/sent.$$`;
  const script = `#!/bin/sh
read start _ </proc/uptime
${withTrace ? trace : ""} ${stdout.trim()} "$@"
code=$?
read end _ </proc/uptime
echo "$start $end" >>${directory}/calls
exit $code
`;
  await mkdir(directory);
  await writeFile(join(directory, "nft"), script);
  await chmod(join(directory, "nft"), 0o755);
  await writeFile(join(directory, "calls"), "");
}

async function readCalls(directory: string): Promise<KernelWork> {
  const calls = (await readFile(join(directory, "calls"), "utf8")).split("\n").filter(Boolean);
  const seconds = calls.map((line) => {
    const [start = Number.NaN, end = Number.NaN] = line.split(" ").map(Number);
    return end - start;
  });
  const { stdout } = await promisify(execFile)("sh", [
    "-c",
    `cat ${directory}/sent.* 2>/dev/null | sed -n 's/^send.*= \\([0-9]*\\)$/\\1/p'`,
  ]);
  const sent = stdout.split("\n").filter(Boolean).map(Number);
  return {
    ms: 1_000 * seconds.reduce((sum, value) => sum + value, 0),
    sentBytes: sent.length === 0 ? Number.NaN : sent.reduce((sum, value) => sum + value, 0),
  };
}
