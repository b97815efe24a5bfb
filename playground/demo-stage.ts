// What the steps of the tour share: the cluster, its agents, who calls, and the directory that the
// agents read their objects from.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Playground } from "./cluster.ts";
import type { CommandResult } from "./command.ts";
import {
  type DemoObject,
  type DemoService,
  nodeObjects,
  serviceObjects,
} from "./demo-manifests.ts";
import type { DemoTour } from "./demo-tour.ts";
import type { EchoServers } from "./echo.ts";
import { type NodeProcess, startNode } from "./node-process.ts";
import type { Probe } from "./probe.ts";
import type { ProbeRequest } from "./probe-protocol.ts";
import { clusterCidrs, type PlaygroundNode, type PlaygroundPod } from "./topology.ts";
import type { WebPeer } from "./web.ts";
import type { Wire } from "./wire.ts";

export interface Stage {
  readonly playground: Playground;
  readonly tour: DemoTour;
  /** Holds the agents' objects and sockets. */
  readonly directory: string;
  readonly servers: EchoServers;
  /** The agents: of node-1, of node-2. */
  readonly nodes: NodeProcess[];
  /** Calls from pod-1-1. */
  readonly pod: Probe;
  readonly client: Probe;
  /** Serves gRPC and records in any pod; calls from pod-1-1. */
  readonly peer: WebPeer;
  /** Listens on node-1's end of the link between the nodes. */
  readonly wire: Wire;
}

export type Step = (stage: Stage) => Promise<void>;

export const LAUNCHER = new URL("../bin/innermesh", import.meta.url).pathname;
const CIDRS = `${clusterCidrs.ip},${clusterCidrs.ip6}`;
/** So long a connection that a failed step left open keeps an agent from ending. */
const DRAIN = "10s";

/** An answer that comes late on a busy machine was not lost. */
export const ANSWER_WITHIN_MS = 3_000;

type Place = Pick<Stage, "playground" | "directory">;

/** @param more flags beside those that every agent of the tour has */
export function launch(
  { playground, directory }: Place,
  node: PlaygroundNode,
  more: readonly string[] = [],
): NodeProcess {
  const flags = [
    `--source=dir:${objectsOf(directory)}`,
    `--cluster-cidr=${CIDRS}`,
    `--admin-socket=${socketOf(directory, node)}`,
    `--proxy-drain-timeout=${DRAIN}`,
    ...more,
  ];
  return startNode(playground, node, flags);
}

/** Runs a verb of `innermesh` on node-1 that reads the objects. */
export function innermesh(
  { playground, directory }: Place,
  ...argv: readonly string[]
): Promise<CommandResult> {
  const source = [`--source=dir:${objectsOf(directory)}`, "--node=node-1"];
  return onNode(playground, [LAUNCHER, ...argv, ...source, `--cluster-cidr=${CIDRS}`]);
}

/** Runs a verb of `innermesh` that asks node-1's agent. */
export function askAgent(
  { playground, directory }: Place,
  ...argv: readonly string[]
): Promise<CommandResult> {
  const socket = `--socket=${socketOf(directory, playground.node(1))}`;
  return onNode(playground, [LAUNCHER, ...argv, socket]);
}

/** Runs a verb of `innermesh` on node-1 that knows policies, from objects and its agent. */
export function askPolicies(
  { playground, directory }: Place,
  verb: "can" | "why",
  ...words: readonly string[]
): Promise<CommandResult> {
  const socket = `--socket=${socketOf(directory, playground.node(1))}`;
  const flags = ["--hostname-override=node-1", `--cluster-cidr=${CIDRS}`, "--identity=off"];
  const source = `--source=dir:${objectsOf(directory)}`;
  const asked = verb === "why" ? [...words, socket] : words;
  return onNode(playground, [LAUNCHER, verb, ...asked, source, ...flags]);
}

/** Runs a program on node-1. */
export function onNode(playground: Playground, argv: readonly string[]): Promise<CommandResult> {
  return playground.exec(playground.node(1).netns, argv);
}

export function objectsOf(directory: string): string {
  return join(directory, "objects");
}

/** Writes the nodes and these Services; those of an earlier call are gone. */
export function writeServices(stage: Place, services: readonly DemoService[]): Promise<void> {
  const { playground } = stage;
  const pods = podsOf(playground);
  const items = [...nodeObjects(playground), ...serviceObjects(services, pods)];
  return writeObjects(stage, "services", items);
}

/** Replaces the objects of one file. */
export function writeObjects(
  { directory }: Pick<Stage, "directory">,
  file: string,
  items: readonly DemoObject[],
): Promise<void> {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items }, undefined, 1);
  return writeFile(join(objectsOf(directory), `${file}.json`), `${text}\n`);
}

export function podsOf({ nodes }: Playground): readonly PlaygroundPod[] {
  return nodes.flatMap((node) => node.pods);
}

export function http(address: string, port = 80): ProbeRequest {
  return { protocol: "http", address, port, timeoutMs: ANSWER_WITHIN_MS };
}

/** `pod-1-1 ×15, pod-1-2 ×13` */
export function list(answers: Readonly<Record<string, number>>): string {
  return Object.entries(answers)
    .map(([pod, count]) => `${pod} ×${count}`)
    .join(", ");
}

function socketOf(directory: string, node: PlaygroundNode): string {
  return join(directory, `${node.name}.sock`);
}
