// Who an agent is: a small echo server and prober that the suites place in pods, on nodes and
// outside the cluster. Everything a case knows about the network starts from these.

import type { Address, AddressFamily } from "../lib/ip/address.ts";
import { familyOf } from "../lib/ip/address.ts";

/** `pod`: its own network namespace. `host`: its node's. `outside`: no part of the cluster. */
export type AgentPlace = "pod" | "host" | "outside";

export interface AgentPorts {
  /** GET of any path answers the echo. */
  readonly http: readonly number[];
  /** The echo on connect, then every byte comes back. */
  readonly tcp: readonly number[];
  /** Each datagram is answered with the echo. */
  readonly udp: readonly number[];
  /** Answers the kubelet's readiness probe; a port of its own, so that no case depends on it. */
  readonly ready?: number;
}

export interface Agent {
  /** Of its Pod; unique among agents. Echoes carry it. */
  readonly name: string;
  readonly place: AgentPlace;
  /** Name of its Node; its own name when outside. */
  readonly node: string;
  /** Canonical, the primary family first. */
  readonly addresses: readonly Address[];
  readonly ports: AgentPorts;
}

/**
 * Ports by place. Those on nodes stay away from what nodes run and from NodePorts; two TCP ports,
 * so that a case can tell them apart.
 */
export const agentPorts: Readonly<Record<AgentPlace, AgentPorts>> = {
  pod: { http: [8080], tcp: [9090, 9091], udp: [9090], ready: 8079 },
  host: { http: [28080], tcp: [28090, 28091], udp: [28090] },
  outside: { http: [], tcp: [], udp: [] },
};

/** An agent's first address of a family; undefined when it has none. */
export function addressOf(agent: Agent, family: AddressFamily): Address | undefined {
  return agent.addresses.find((address) => familyOf(address) === family);
}
