// A cluster on one machine: nodes, pods, an outside client and a load balancer host, each a
// network namespace. Entry file of the playground.

import assert from "node:assert/strict";
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";

import { type Address, familyOf } from "../lib/ip/address.ts";
import { type Cidr, splitCidr } from "../lib/ip/cidr.ts";
import { Claims } from "./claims.ts";
import { planCluster } from "./cluster-plan.ts";
import { type CommandOptions, type CommandResult, runCommand, runOrThrow } from "./command.ts";
import {
  applyPlan,
  insideNetns,
  killInside,
  loadBridgeNetfilter,
  removeLink,
  removeNamespaces,
  setSysctls,
} from "./namespaces.ts";
import { mergePlans } from "./network-plan.ts";
import { deletePlayground, machineSubnets, takePrefix } from "./ownership.ts";
import { planPod } from "./pod-plan.ts";
import {
  type CniShape,
  describeClient,
  describeLoadBalancer,
  describeNode,
  describePod,
  type PlaygroundHost,
  type PlaygroundNode,
  type PlaygroundPod,
  underlayAddresses,
  underlayNetns,
  underlayNetwork,
} from "./topology.ts";

export interface PlaygroundOptions {
  /** `im-` and 1–8 letters or digits, unique on the machine. @default a random one */
  readonly prefix?: string;
  readonly nodes: number;
  readonly podsPerNode: number;
  readonly cni: CniShape;
  /**
   * Connects the root namespace to the underlay, so that a node reaches a server that listens
   * there (`hostAddress`). Pods do not. @default false
   */
  readonly hostLink?: boolean;
}

const claimDirectory = "/run/innermesh-playground";

/**
 * Builds a cluster; when it resolves, every address answers. Leftovers of a crashed playground
 * with the same prefix are removed first. Needs root.
 * @throws PlaygroundError `prefix-in-use`, `command-failed`, `no-free-subnet`; nothing stays behind
 */
export async function createPlayground(options: PlaygroundOptions): Promise<Playground> {
  const prefix = options.prefix ?? `im-${randomBytes(3).toString("hex")}`;
  assert.match(prefix, /^im-[a-z0-9]{1,8}$/);
  const claims = new Claims(claimDirectory);
  await takePrefix(claims, prefix);
  try {
    const subnet =
      options.hostLink === true ? claims.claimSubnet(prefix, machineSubnets()) : undefined;
    const playground = new Playground(prefix, options, subnet);
    await playground.build();
    return playground;
  } catch (error) {
    await deletePlayground(claims, prefix);
    throw error;
  }
}

/**
 * Removes playgrounds whose owner died: processes inside them, namespaces, links, claims. Living
 * playgrounds are left alone.
 * @param prefix only those whose prefix starts so
 * @returns prefixes of what was removed
 */
export async function sweepPlaygrounds(prefix = "im-"): Promise<string[]> {
  const claims = new Claims(claimDirectory);
  const dead = claims
    .prefixes()
    .filter((name) => name.startsWith(prefix) && !claims.ownerIsAlive(name));
  for (const name of dead) await deletePlayground(claims, name);
  return dead;
}

/** One living cluster. Disposing it ends every process inside and removes every trace. */
export class Playground implements AsyncDisposable {
  readonly prefix: string;
  readonly cni: CniShape;
  /** An outside host. It knows nodes, pods and what `routeVip` told it; no default route. */
  readonly client: PlaygroundHost;
  /** An outside router, the nodes' default gateway. It knows what the client knows. */
  readonly loadBalancer: PlaygroundHost;
  /** The root namespace's own address as nodes see it; undefined without `hostLink`. */
  readonly hostAddress: Address | undefined;
  /** Namespace of the switch between them all. Helpers that serve several pods run there. */
  readonly underlay: string;
  readonly #network;
  readonly #nodes: (PlaygroundNode & { pods: PlaygroundPod[] })[];
  readonly #children = new Set<ChildProcess>();
  readonly #routedVips = new Set<string>();
  #disposal: Promise<void> | undefined;

  /** Describes; `build` makes. Use `createPlayground`. */
  constructor(prefix: string, options: PlaygroundOptions, hostSubnet: number | undefined) {
    this.prefix = prefix;
    this.cni = options.cni;
    this.#network = underlayNetwork(hostSubnet);
    this.underlay = underlayNetns(prefix);
    this.client = describeClient(prefix, this.#network);
    this.loadBalancer = describeLoadBalancer(prefix, this.#network);
    this.hostAddress =
      hostSubnet === undefined ? undefined : underlayAddresses(this.#network, 254).ip;
    this.#nodes = range(options.nodes).map((number) => ({
      ...describeNode(prefix, this.#network, number),
      pods: range(options.podsPerNode).map((pod) => describePod(prefix, number, pod)),
    }));
  }

  get nodes(): readonly PlaygroundNode[] {
    return this.#nodes;
  }

  /** Node n, counted from 1. */
  node(number: number): PlaygroundNode {
    return this.#node(`node-${number}`);
  }

  /** Pod k of node n, both counted from 1. */
  pod(node: number, number: number): PlaygroundPod {
    const found = this.node(node).pods.find((pod) => pod.number === number);
    assert(found !== undefined, `there is no pod-${node}-${number}`);
    return found;
  }

  /** Creates everything that the constructor described. Called once, by `createPlayground`. */
  async build(): Promise<void> {
    if (this.cni === "bridge") await loadBridgeNetfilter();
    const cluster = planCluster({
      prefix: this.prefix,
      cni: this.cni,
      network: this.#network,
      client: this.client,
      loadBalancer: this.loadBalancer,
      nodes: this.#nodes,
      hostLink: this.hostAddress !== undefined,
    });
    const pods = this.#nodes.flatMap((node) =>
      node.pods.map((pod) => planPod(node, pod, this.cni)),
    );
    await applyPlan(mergePlans([cluster, ...pods]));
  }

  /**
   * Adds a pod to a node.
   * @param number decides its addresses, so a removed pod's can be given again
   *   @default one more than the highest there is
   */
  async addPod(node: PlaygroundNode, number?: number): Promise<PlaygroundPod> {
    const { pods } = this.#node(node.name);
    const highest = Math.max(0, ...pods.map((pod) => pod.number));
    const pod = describePod(this.prefix, node.number, number ?? highest + 1);
    assert(!pods.some(({ name }) => name === pod.name), `${pod.name} exists already`);
    pods.push(pod);
    await applyPlan(planPod(node, pod, this.cni));
    return pod;
  }

  /** Ends the pod's processes and takes its address off the network. */
  async removePod(pod: PlaygroundPod): Promise<void> {
    const node = this.#node(pod.node);
    const index = node.pods.findIndex(({ name }) => name === pod.name);
    assert(index >= 0, `${pod.name} is not there`);
    node.pods.splice(index, 1);
    await killInside([pod.netns]);
    await removeLink(node.netns, pod.hostInterface);
    await removeNamespaces([pod.netns]);
  }

  /**
   * Leads the outside world's way to a VIP (or a range of them) to one node, as a load balancer
   * or BGP would: on the client directly, and on the load balancer for what nodes send out.
   * @param vip an address or a prefix
   * @param node undefined takes the route away
   */
  async routeVip(vip: Cidr, node: PlaygroundNode | undefined): Promise<void> {
    const family = familyOf(vip.includes("/") ? splitCidr(vip).address : vip);
    const flag = family === "ip" ? "-4" : "-6";
    if (node === undefined && !this.#routedVips.delete(vip)) return;
    if (node !== undefined) this.#routedVips.add(vip);
    const action =
      node === undefined ? ["delete", vip] : ["replace", vip, "via", node.addresses[family]];
    const argv = ["ip", flag, "route", ...action];
    const hosts = [this.client, this.loadBalancer];
    await Promise.all(hosts.map(({ netns }) => runOrThrow(insideNetns(netns, argv))));
  }

  /**
   * Sets values in one namespace.
   * @param sysctls `key=value`; `*` in a key means every interface, so that
   *   `net.ipv4.conf.*.rp_filter=0` is all it takes
   */
  sysctl(netns: string, sysctls: readonly string[]): Promise<void> {
    return setSysctls(netns, sysctls);
  }

  /** Runs a program inside a namespace to its end. See `runCommand`. */
  exec(
    netns: string,
    argv: readonly string[],
    options: CommandOptions = {},
  ): Promise<CommandResult> {
    return runCommand(insideNetns(netns, argv), options);
  }

  /**
   * Starts a program inside a namespace; its pid is the program's own. It lives until it ends, its
   * caller ends it, or the playground goes.
   * @param options as for node:child_process; by default stdin and stdout are pipes (read them,
   *   or a talkative program stops), stderr is the caller's
   */
  spawn(netns: string, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    assert(this.#disposal === undefined, "the playground is gone");
    const [file = "", ...rest] = insideNetns(netns, argv);
    const child = spawn(file, rest, { stdio: ["pipe", "pipe", "inherit"], ...options });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    const living = [...this.#children].filter((child) => child.pid !== undefined);
    const exits = living.map((child) => once(child, "exit"));
    for (const child of living) child.kill("SIGKILL");
    await deletePlayground(new Claims(claimDirectory), this.prefix);
    await Promise.all(exits);
  }

  #node(name: string): PlaygroundNode & { pods: PlaygroundPod[] } {
    const found = this.#nodes.find((node) => node.name === name);
    assert(found !== undefined, `there is no ${name}`);
    return found;
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
