// Innermesh as the shipped manifests install it, except that its programs are processes and not
// containers: `innermesh node` in every node, one `innermesh controller`.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import type { Playground } from "../playground/cluster.ts";
import { makeRoot, writeAuthority } from "../playground/demo-authority.ts";
import { type NodeProcess, startNode } from "../playground/node-process.ts";
import { clusterCidrs } from "../playground/topology.ts";
import type { ApiClient } from "../test/cluster/api-client.ts";
import type { ControlPlane } from "../test/cluster/control-plane.ts";
import { writeKubeconfig } from "../test/cluster/kubeconfig.ts";
import { ROOT } from "./steps.ts";

const MANIFESTS = join(ROOT, "manifests/kustomize/base");
const WORKLOADS = /^(daemon-set|.*-?deployment)\.yaml$/;
const LAUNCHER = join(ROOT, "bin/innermesh");
const ACCOUNTS = {
  node: { namespace: "kube-system", name: "innermesh-node" },
  controller: { namespace: "innermesh-system", name: "innermesh-controller" },
} as const;

/** Running programs of ours. Disposing of it ends them. */
export interface Innermesh extends AsyncDisposable {
  /** What has ended or fallen ill by now, in words. */
  problems(): Promise<readonly string[]>;
}

const HEALTH_PORT = 10_256;
const LONGEST_RUN_SECONDS = 6 * 3600;

export interface InnermeshOptions {
  /** Made already; gets the programs' logs. */
  readonly logDirectory: string;
  /** Whether pods have identities, which by default all may use and none must. */
  readonly identity: boolean;
}

/**
 * Applies all manifests but workloads, starts the programs, and waits until the agents are healthy.
 */
export async function startInnermesh(
  playground: Playground,
  controlPlane: ControlPlane,
  { logDirectory, identity }: InnermeshOptions,
): Promise<Innermesh> {
  const stack = new AsyncDisposableStack();
  try {
    await applyManifests(controlPlane.admin);
    const controller = await startController(playground, controlPlane, logDirectory);
    stack.defer(() => stop(controller));
    const flags = [
      `--kubeconfig=${await kubeconfigOf(controlPlane, "node")}`,
      `--cluster-cidr=${clusterCidrs.ip},${clusterCidrs.ip6}`,
      "--network-policy=enforce",
      ...(identity ? await identityFlags(controlPlane) : []),
    ];
    const agents = playground.nodes.map((node) => startNode(playground, node, flags));
    for (const [index, agent] of agents.entries()) {
      const path = join(logDirectory, `node-${index + 1}.log`);
      stack.defer(async () => {
        await agent.stop();
        await writeFile(path, `${agent.log.join("\n")}\n`);
      });
    }
    await Promise.all(agents.map((agent) => agent.healthy()));
    const ending = stack.move();
    return {
      problems: () => findProblems(agents, controller),
      [Symbol.asyncDispose]: () => ending.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Each node signs for itself, with one key. */
async function identityFlags({ directory }: ControlPlane): Promise<readonly string[]> {
  const folder = join(directory, "innermesh-ca");
  await mkdir(folder, { mode: 0o700 });
  const root = makeRoot("conformance");
  await writeAuthority(folder, root, [root.certificate]);
  return ["--identity=permissive", `--certificate-authority=dir:${folder}`];
}

async function findProblems(
  agents: readonly NodeProcess[],
  controller: ChildProcess,
): Promise<readonly string[]> {
  const problems = running(controller) ? [] : ["innermesh controller has ended"];
  for (const [index, agent] of agents.entries()) {
    const { status } = await agent.get(HEALTH_PORT, "/healthz");
    if (status === 200) continue;
    problems.push(`innermesh node of node-${index + 1} is not healthy: ${agent.log.at(-1)}`);
  }
  return problems;
}

async function applyManifests(admin: ApiClient): Promise<void> {
  const list = await readFile(join(MANIFESTS, "kustomization.yaml"), "utf8");
  const { resources } = parse(list) as { readonly resources: readonly string[] };
  for (const name of resources.filter((file) => !WORKLOADS.test(file))) {
    await admin.applyYaml(await readFile(join(MANIFESTS, name), "utf8"));
  }
}

/** One replica, on the first node's network as a pod of that node would be. */
async function startController(
  playground: Playground,
  controlPlane: ControlPlane,
  logDirectory: string,
): Promise<ChildProcess> {
  const kubeconfig = await kubeconfigOf(controlPlane, "controller");
  const log = openSync(join(logDirectory, "controller.log"), "w");
  try {
    const argv = [LAUNCHER, "controller", `--kubeconfig=${kubeconfig}`];
    const { netns } = playground.node(1);
    return playground.spawn(netns, argv, { stdio: ["ignore", log, log] });
  } finally {
    closeSync(log);
  }
}

/** A kubeconfig with the account's token, which nobody renews here. */
async function kubeconfigOf(
  controlPlane: ControlPlane,
  account: keyof typeof ACCOUNTS,
): Promise<string> {
  const { namespace, name } = ACCOUNTS[account];
  const { url, authorityFile, directory } = controlPlane;
  const token = await controlPlane.serviceAccountToken(namespace, name, LONGEST_RUN_SECONDS);
  const file = join(directory, `${name}.kubeconfig`);
  await writeKubeconfig(file, { url, authorityFile, credentials: { token } });
  return file;
}

async function stop(child: ChildProcess): Promise<void> {
  if (!running(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

function running(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}
