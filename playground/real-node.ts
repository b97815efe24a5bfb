// Real nodes: a kubelet and a containerd in each of a playground's nodes, which bring their pods
// with them. Entry file of what is real here; the API server is somebody else's.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { Claims } from "./claims.ts";
import { createPlayground, type Playground, sweepPlaygrounds } from "./cluster.ts";
import { runOrThrow } from "./command.ts";
import { insideNetns } from "./namespaces.ts";
import { planFiles, privateFolders, type RealNodeFiles } from "./real-node-files.ts";
import {
  cgroupName,
  createCgroup,
  createStateDirectory,
  removeNodeState,
  stateDirectory,
  sweepNodeStates,
} from "./real-node-state.ts";
import { clusterCidrs, type PlaygroundNode } from "./topology.ts";

const LOG_LINES = 15;
const LOGS = ["start.log", "images.log", "containerd.log", "kubelet.log"];

export type RealNodeOptions = Omit<RealNodeFiles, "directory" | "cgroup">;

/**
 * Builds a network for real nodes: no pods yet, a bridge on each node, and the machine's own
 * address. What dead owners of such networks left is removed first.
 * @throws as `createPlayground`
 */
export async function createRealNetwork(nodes: number): Promise<Playground> {
  await sweepPlaygrounds();
  const claims = new Claims("/run/innermesh-playground");
  await sweepNodeStates((prefix) => claims.ownerIsAlive(prefix));
  const options = { nodes, podsPerNode: 0, cni: "bridge", hostLink: true } as const;
  const playground = await createPlayground(options);
  await createStateDirectory(playground.prefix);
  return playground;
}

/**
 * Starts containerd and the kubelet of a node. The kubelet registers it soon after.
 * @throws PlaygroundError `command-failed`
 */
export async function startRealNode(
  playground: Playground,
  node: PlaygroundNode,
  options: RealNodeOptions,
): Promise<RealNode> {
  const directory = join(stateDirectory(playground.prefix), node.name);
  const cgroup = `${cgroupName(playground.prefix)}/${node.name}`;
  for (const folder of privateFolders) await mkdir(directory + folder, { recursive: true });
  for (const [name, text] of Object.entries(planFiles({ ...options, directory, cgroup }, node))) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  await createCgroup(cgroup);
  await masquerade(node);
  return new RealNode(playground, node, directory);
}

/** A folder for files that go with the real nodes of a playground, even after a crash. */
export function realNodesDirectory({ prefix }: Playground): string {
  return stateDirectory(prefix);
}

/** Ends all real nodes of a playground, their pods included, and removes what they left. */
export async function removeRealNodes(playground: Playground): Promise<void> {
  await removeNodeState(playground.prefix);
}

/** A running node. It ends with its playground, or with this process. */
export class RealNode {
  readonly #child: ChildProcess;
  readonly #directory: string;

  /** Made by `startRealNode`. */
  constructor(playground: Playground, { netns }: PlaygroundNode, directory: string) {
    this.#directory = directory;
    const log = openSync(join(directory, "start.log"), "a");
    try {
      const alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
      const argv = [...alone, "bash", join(directory, "start.sh")];
      const mortal = ["setpriv", "--pdeathsig", "KILL", "--", ...argv];
      this.#child = playground.spawn(netns, mortal, { stdio: ["ignore", log, log] });
    } finally {
      closeSync(log);
    }
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** A log file of one of its programs, for whoever wants to know more. */
  logFile(program: "containerd" | "kubelet"): string {
    assert(LOGS.includes(`${program}.log`));
    return join(this.#directory, `${program}.log`);
  }

  /** The ends of its programs' logs. */
  async logEnds(): Promise<string> {
    const texts = LOGS.map(async (name) => {
      const text = await readFile(join(this.#directory, name), "utf8").catch(() => "");
      return `${name}:\n${text.trim().split("\n").slice(-LOG_LINES).join("\n")}`;
    });
    return (await Promise.all(texts)).join("\n");
  }
}

/** Pods leave the cluster with their node's address: nothing outside knows the way back. */
async function masquerade({ netns }: PlaygroundNode): Promise<void> {
  const { ip, ip6 } = clusterCidrs;
  const rules = `table inet playground {
    chain postrouting {
      type nat hook postrouting priority srcnat + 10;
      ip saddr ${ip} ip daddr != ${ip} masquerade
      ip6 saddr ${ip6} ip6 daddr != ${ip6} masquerade
    }
  }`;
  await runOrThrow(insideNetns(netns, ["nft", "-f", "-"]), { input: rules });
}
