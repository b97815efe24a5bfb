// The cluster that benches run on: playground nodes under a real API server, filled with thousands
// of Services. On every node pod 1 is the client, and pod 2 answers at all of 10.72.0.0/16, so
// that a Service can have ten endpoints that really serve, and a new one costs no new pod.

import assert from "node:assert/strict";
import type { Playground } from "../playground/cluster.ts";
import { startEchoServers } from "../playground/echo.ts";
import { clusterCidrs, type PlaygroundNode, type PlaygroundPod } from "../playground/topology.ts";
import type { ControlPlane } from "../test/cluster/control-plane.ts";
import { fillServices } from "../test/cluster/load.ts";
import { ipv4, TARGET_PORT } from "../test/cluster/load-slices.ts";
import { registerMachine, startMachines } from "../test/cluster/machines.ts";

const BACKENDS = "10.72.0.0/16";
const ENDPOINTS = 10;
/** 10.128.0.1: where the endpoints that nobody calls begin. */
const FIRST_SILENT = 0x0a_80_00_01;

/** Where a Service answers. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

/** An address that answers on every node. */
export function backend(network: number, host: number): string {
  return `10.72.${network}.${host}`;
}

export async function startRig(nodes: number): Promise<Rig> {
  const stack = new AsyncDisposableStack();
  try {
    const shape = { nodes, podsPerNode: 2, controllers: [] };
    const { playground, controlPlane } = await startMachines(shape, stack);
    for (const node of playground.nodes) {
      await registerMachine(controlPlane.admin, node);
      await answerEverywhere(playground, node);
    }
    const servers = playground.nodes.map(({ number }) => playground.pod(number, 2));
    const ports = { http: [], tcp: [TARGET_PORT], udp: [] };
    stack.use(await startEchoServers(playground, servers, ports));
    const kubeconfig = await controlPlane.kubeconfig("admin");
    return new Rig({ playground, controlPlane, kubeconfig }, stack.move());
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function answerEverywhere(playground: Playground, node: PlaygroundNode): Promise<void> {
  const pod = playground.pod(node.number, 2);
  const steps = [
    [pod.netns, `ip route add local ${BACKENDS} dev lo`],
    [node.netns, `ip route add ${BACKENDS} via ${pod.addresses.ip}`],
  ] as const;
  for (const [netns, line] of steps) await runInside(playground, netns, line);
}

/** Runs a command line whose words stand one space apart. @returns its standard output */
export async function runInside(
  playground: Playground,
  netns: string,
  line: string,
): Promise<string> {
  const { code, stdout, stderr } = await playground.exec(netns, line.split(" "));
  assert.equal(code, 0, `${line}: ${stderr}`);
  return stdout;
}

interface RigParts {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
  /** Acts as cluster administrator. */
  readonly kubeconfig: string;
}

/** A running cluster without agents. Disposing of it ends everything in it. */
export class Rig implements AsyncDisposable {
  readonly playground: Playground;
  readonly controlPlane: ControlPlane;
  readonly kubeconfig: string;
  readonly clusterCidr = `${clusterCidrs.ip},${clusterCidrs.ip6}`;
  readonly #stack: AsyncDisposableStack;
  #services = 0;
  #fills = 0;

  /** Made by `startRig`. */
  constructor(parts: RigParts, stack: AsyncDisposableStack) {
    this.playground = parts.playground;
    this.controlPlane = parts.controlPlane;
    this.kubeconfig = parts.kubeconfig;
    this.#stack = stack;
  }

  clientPod(node: PlaygroundNode): PlaygroundPod {
    return this.playground.pod(node.number, 1);
  }

  /** Removes all rules of a node and forgets its flows: what a reboot would do. */
  async wipe({ netns }: PlaygroundNode): Promise<void> {
    await runInside(this.playground, netns, "nft flush ruleset");
    await this.forgetFlows(netns);
  }

  async forgetFlows(netns: string): Promise<void> {
    await this.playground.exec(netns, ["conntrack", "-F"]);
  }

  /**
   * Adds Services until there are `count`, of ten endpoints each.
   * @returns some of the new ones that really serve: the first, the last by creation and by name,
   *   and some between
   */
  async fillTo(count: number): Promise<readonly Target[]> {
    const fresh = count - this.#services;
    assert(fresh > 0, "Services are only added");
    const serving = servingNumbers(fresh);
    const fill = ++this.#fills;
    const start = FIRST_SILENT + this.#services * ENDPOINTS;
    const load = await fillServices(this.controlPlane, fresh, ENDPOINTS, {
      namespace: `fill-${fill}`,
      address: (service, endpoint) =>
        serving.includes(service)
          ? backend(10 * fill + serving.indexOf(service), 1 + endpoint)
          : ipv4(start + service * ENDPOINTS + endpoint),
    });
    this.#services = count;
    return serving.map((number) => {
      const clusterIP = load.services[number]?.clusterIP;
      assert(clusterIP !== undefined);
      return { address: clusterIP, port: 80 };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** At most ten, the last by creation last. */
function servingNumbers(count: number): readonly number[] {
  const lastByName = Math.min(count - 1, 10 ** Math.floor(Math.log10(count)) - 1);
  const middle = [0.25, 0.5, 0.75].map((share) => Math.floor(count * share));
  return [...new Set([0, ...middle, lastByName, count - 2, count - 1].filter((n) => n >= 0))];
}
