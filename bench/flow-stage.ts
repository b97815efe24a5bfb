// Four nodes that lead the same flows to the same endpoints in four ways, and what a new flow
// costs on each. Slices of the four take turns, so that what disturbs the machine disturbs all.

import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { LineCaller } from "../playground/line-calls.ts";
import type { PlaygroundNode } from "../playground/topology.ts";
import { FIRST_PORT, type FlowCalls } from "./flow-calls.ts";
import { backend, type Rig, runInside, type Target } from "./rig.ts";

const FLOWS = 20_000;
const SYN_FLOWS = 8_000;
const CONNECTS = 200;
/** Slower for a while after a pause: caches, clock rates. */
const WARM_UP_FLOWS = 2_000;
const PROGRAM = fileURLToPath(new URL("./flow-program.ts", import.meta.url));

/** UDP datagrams to port 53 are dropped behind the node; TCP port 80 leads to an echo server. */
export const UDP_PORT = 53;

/** What the meters need of a rig. */
export type FlowRig = Pick<Rig, "playground" | "clientPod" | "forgetFlows">;

/** One node and its client. */
export interface FlowPath {
  readonly subject: string;
  readonly node: PlaygroundNode;
  /** Where the client sends to. */
  readonly tcp: Target;
  readonly udp: Target;
}

/** What one slice measured. */
export interface FlowCost {
  readonly udpNewNs: number;
  readonly udpKnownNs: number;
  readonly synNs: number;
  readonly connectsUs: readonly number[];
}

/** Measures one path. */
export class FlowMeter {
  readonly path: FlowPath;
  readonly #rig: FlowRig;
  readonly #program: LineCaller<FlowCalls>;
  readonly #link: { readonly index: number; readonly mac: string; readonly routerMac: string };

  constructor(
    rig: FlowRig,
    path: FlowPath,
    link: { readonly index: number; readonly mac: string; readonly routerMac: string },
  ) {
    this.#rig = rig;
    this.path = path;
    this.#link = link;
    // The last processor: interrupts and everything else prefer the first.
    const pin = ["taskset", "--cpu-list", String(availableParallelism() - 1)];
    const argv = [...pin, process.execPath, "--disable-warning=ExperimentalWarning", PROGRAM];
    const { netns } = rig.clientPod(path.node);
    this.#program = new LineCaller(rig.playground.spawn(netns, argv));
  }

  /** One slice of each kind, each on an empty table of flows. */
  async measure(): Promise<FlowCost> {
    const udpNewNs = await this.#flood("udp", FLOWS, FLOWS);
    const udpKnownNs = await this.#flood("udp", 1, FLOWS);
    const synNs = await this.#flood("syn", SYN_FLOWS, SYN_FLOWS);
    const { tcp: target } = this.path;
    const { durationsUs } = await this.#program.call("connect", { target, count: CONNECTS });
    await this.#rig.forgetFlows(this.path.node.netns);
    return { udpNewNs, udpKnownNs, synNs, connectsUs: durationsUs };
  }

  /** Of datagrams with source ports never seen, on an empty table of flows. */
  newNs(): Promise<number> {
    return this.#flood("udp", FLOWS, FLOWS);
  }

  /** Of datagrams of one flow whose other end has answered. */
  async answeredNs(): Promise<number> {
    const { node, udp } = this.path;
    const { ip } = this.#rig.clientPod(node).addresses;
    const flow = `-p udp -s ${ip} -d ${udp.address} --sport ${FIRST_PORT} --dport ${udp.port}`;
    const line = `conntrack -I ${flow} --timeout 60 --status SEEN_REPLY,ASSURED`;
    await runInside(this.#rig.playground, node.netns, line);
    return this.#flood("udp", 1, FLOWS);
  }

  /** Warms up, and makes sure that what is measured really arrives. */
  async check(): Promise<void> {
    const { netns } = this.#rig.playground.pod(this.path.node.number, 2);
    const before = await receivedPackets(this.#rig, netns);
    for (const kind of ["udp", "syn"] as const) {
      await this.#flood(kind, WARM_UP_FLOWS, WARM_UP_FLOWS);
    }
    const received = (await receivedPackets(this.#rig, netns)) - before;
    const { subject } = this.path;
    assert(received >= 2 * WARM_UP_FLOWS, `${subject}: ${received} of ${2 * WARM_UP_FLOWS} came`);
  }

  async close(): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }

  async #flood(kind: "udp" | "syn", flows: number, packets: number): Promise<number> {
    const { path } = this;
    const { address, port } = kind === "udp" ? path.udp : path.tcp;
    const { index, mac, routerMac } = this.#link;
    const { cpuNs } = await this.#program.call("flood", {
      interfaceIndex: index,
      frame: {
        kind,
        sourceMac: mac,
        destinationMac: routerMac,
        source: this.#rig.clientPod(path.node).addresses.ip,
        destination: address,
        destinationPort: port,
      },
      flows,
      packets,
    });
    await this.#rig.forgetFlows(path.node.netns);
    return cpuNs;
  }
}

/** Opens the meter of a path; its pod 2 drops datagrams from now on, without a word. */
export async function openFlowMeter(rig: FlowRig, path: FlowPath): Promise<FlowMeter> {
  const { playground } = rig;
  const client = rig.clientPod(path.node);
  const own = await runInside(playground, client.netns, "ip -oneline link show eth0");
  const { hostInterface } = client;
  const host = await runInside(
    playground,
    path.node.netns,
    `ip -oneline link show ${hostInterface}`,
  );
  const index = /^(\d+):/.exec(own)?.[1];
  const [mac, routerMac] = [own, host].map((text) => /link\/ether (\S+)/.exec(text)?.[1]);
  assert(index !== undefined && mac !== undefined && routerMac !== undefined, own + host);
  const server = playground.pod(path.node.number, 2);
  await playground.exec(server.netns, ["nft", "-f", "/dev/stdin"], { input: DROP_DATAGRAMS });
  return new FlowMeter(rig, path, { index: Number(index), mac, routerMac });
}

/** A node with one rule for each protocol: the least that any proxy of this kind can cost. */
export async function installOneRule(
  rig: Rig,
  node: PlaygroundNode,
  { tcp, udp }: Pick<FlowPath, "tcp" | "udp">,
): Promise<void> {
  const to = backend(1, 1);
  const input = `table ip one {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr ${udp.address} udp dport ${udp.port} dnat to ${to}:${UDP_PORT}
    ip daddr ${tcp.address} tcp dport ${tcp.port} dnat to ${to}:8080
  }
}
`;
  const argv = ["nft", "-f", "/dev/stdin"];
  const { code, stderr } = await rig.playground.exec(node.netns, argv, { input });
  assert.equal(code, 0, stderr);
}

const DROP_DATAGRAMS = `table netdev bench {
  chain ingress {
    type filter hook ingress device eth0 priority 0
    ip protocol udp drop
  }
}
`;

async function receivedPackets({ playground }: FlowRig, netns: string): Promise<number> {
  const text = await runInside(playground, netns, "ip -json -statistics link show eth0");
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number } } }];
  return link.stats64.rx.packets;
}
