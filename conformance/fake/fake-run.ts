// A whole run against the model: agents, cluster, transport and a clock that jumps instead of
// waiting. What conformance cases are tested with.

import type { Clock } from "../../lib/clock/clock.ts";
import type { AddressFamily } from "../../lib/ip/address.ts";
import { type Agent, type AgentPlace, agentPorts } from "../agent-identity.ts";
import type { AgentTransport } from "../agent-transport.ts";
import type { ClusterNode } from "../cluster/cluster.ts";
import type { ClusterFacts } from "../cluster-facts.ts";
import type { ProbeRequest, ProbeResult } from "../probe-protocol.ts";
import type { Defect } from "./defect.ts";
import { FakeDataplane } from "./fake-dataplane.ts";
import { FakeObjects } from "./fake-objects.ts";

export interface FakeRunOptions {
  /** @default nothing is wrong */
  readonly defect?: Defect;
  /** @default both, IPv4 first */
  readonly families?: readonly AddressFamily[];
  /** @default true */
  readonly hosts?: boolean;
}

export interface FakeRun {
  readonly objects: FakeObjects;
  readonly transport: AgentTransport;
  readonly facts: ClusterFacts;
  readonly clock: Clock;
}

/** Two nodes with two pods each, a host agent on either, and a client outside. */
export function makeFakeRun(options: FakeRunOptions = {}): FakeRun {
  const { families = ["ip", "ip6"], hosts = true, defect } = options;
  const agents = ["node-a", "node-b"].flatMap((node, index) => [
    agent("pod", `${node}-pod-1`, node, `10.244.${index + 1}.1`, `fd44:${index + 1}::1`),
    agent("pod", `${node}-pod-2`, node, `10.244.${index + 1}.2`, `fd44:${index + 1}::2`),
    ...(hosts
      ? [agent("host", `${node}-host`, node, `192.0.2.${index + 1}`, `2001:db8::${index + 1}`)]
      : []),
  ]);
  agents.push(agent("outside", "client", "client", "203.0.113.9", "2001:db8:9::9"));
  const nodes = ["node-a", "node-b"].map(
    (name, index): ClusterNode => ({
      name,
      addresses: [`192.0.2.${index + 1}`, `2001:db8::${index + 1}`],
      zone: `zone-${name}`,
    }),
  );
  const apiFamilies = families.map((family) => (family === "ip" ? "IPv4" : "IPv6"));
  const objects = new FakeObjects(nodes, agents, apiFamilies);
  const clock = makeJumpingClock();
  const dataplane = new FakeDataplane({
    objects,
    agents,
    nowMs: () => clock.monotonicMs(),
    random: makeRandom(1),
    ...(defect !== undefined && { defect }),
  });
  return {
    objects,
    clock,
    transport: new FakeTransport(agents, objects, dataplane),
    facts: { agents, nodes, families, proxyMode: "nftables" },
  };
}

export class FakeTransport implements AgentTransport {
  readonly agents: readonly Agent[];
  readonly #objects: FakeObjects;
  readonly #dataplane: FakeDataplane;

  constructor(agents: readonly Agent[], objects: FakeObjects, dataplane: FakeDataplane) {
    this.agents = agents;
    this.#objects = objects;
    this.#dataplane = dataplane;
  }

  async probe(agent: Agent, probe: ProbeRequest, count: number): Promise<readonly ProbeResult[]> {
    return Array.from({ length: count }, () => this.#dataplane.try(agent, probe));
  }

  async setReady(agent: Agent, ready: boolean): Promise<void> {
    this.#objects.setReady(agent, ready);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function agent(place: AgentPlace, name: string, node: string, ip: string, ip6: string): Agent {
  return { name, place, node, addresses: [ip, ip6], ports: agentPorts[place] };
}

/** Sleeping takes no time and moves the hands. */
function makeJumpingClock(): Clock {
  let nowMs = 0;
  return {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    async sleep(durationMs) {
      nowMs += durationMs;
    },
  };
}

/** Mulberry32: small, seeded, even enough to choose endpoints. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
