// Names and numbers that the tables of this feature share with each other, with the proxy's workers
// and with the routes of the lanes. ARCHITECTURE.md lists them for people.

import type { Link } from "../../lib/netlink/link.ts";
import type { Element, Family } from "../../lib/nft/objects.ts";
import type { Chain } from "../../lib/nft/rule-parts.ts";
import type { PlannedChain, TablePlan } from "../../lib/nft/table-plan.ts";
import type { EnrolmentMode } from "../model/enrolment.ts";
import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import type { Binding } from "./guard-binding.ts";
import type { NetworkWorld } from "./network-world.ts";

/** Ours in families ip, ip6, netdev and bridge; those of Services are others. */
export const POLICY_TABLE = "innermesh-policy";

/** A packet that routing delivers to this node, whatever its destination. */
export const DELIVERED_MARK = 0x1000;
/** SO_MARK of every socket of the proxy. On flows: such a socket began it. */
export const SOCKET_MARK = 0x800;
/** A host process's packet on its way to a worker, by way of loopback. */
export const DIVERTED_MARK = DELIVERED_MARK | SOCKET_MARK;
/** On packets: it came from the pod whose address it bears. On flows: a tunnel's door has it. */
export const BOUND_MARK = 0x2000;

/** Packets that were dropped since they lied about their sender, or since a pod is strict. */
export const COUNTERS = { spoofed: "spoofed", closed: "closed" } as const;

/** A pod of this node that has addresses of its own. */
export interface PolicyPod {
  readonly uid: string;
  readonly addresses: readonly string[];
  readonly mode: EnrolmentMode;
}

/** An enrolled pod elsewhere, whose node takes tunnels. */
export interface PolicyPeer {
  readonly address: string;
  readonly mode: "permissive" | "strict";
}

/** Where workers take intercepted connections, on loopback. */
export interface PolicyPorts {
  /** Tunnels of others. @default 15008 */
  readonly tunnel: number;
  /** Direct calls of enrolled pods of this node to enrolled pods. @default 15003 */
  readonly direct: number;
}

export const DEFAULT_POLICY_PORTS: PolicyPorts = { tunnel: TUNNEL_PORT, direct: 15_003 };

/** A bridge with bound pods on its ports. */
export interface PolicyBridge {
  readonly name: string;
  /** Its own Ethernet address. */
  readonly address: string;
  readonly ports: readonly Link[];
}

/** All that the tables are made from. */
export interface PolicyWorld {
  readonly pods: readonly PolicyPod[];
  readonly peers: readonly PolicyPeer[];
  /** Peers of other nodes, whom processes of this node call by a worker. @default none */
  readonly hostCalls?: readonly string[];
  readonly bindings: readonly Binding[];
  /** Addresses that are this node's own, link-local ones too. */
  readonly nodeAddresses: readonly string[];
  readonly bridges: readonly PolicyBridge[];
  /** Numbers of all bridges that this node has. */
  readonly bridgeIndexes: readonly number[];
  /** Takes SYNs off bridges that br_netfilter watches; missing where no bridge needs it. */
  readonly detour?: { readonly out: Link; readonly in: Link };
  readonly ports: PolicyPorts;
  /** @default nobody is isolated */
  readonly network?: NetworkWorld;
}

/** A chain whose rules are all of one family. */
export function chainOf(family: Family, { spec, rules }: Chain): PlannedChain {
  return { spec, rules: rules.map((rule) => ({ family, rule })) };
}

/** Elements without data, by key; each once. */
export function elementsOf(keys: Iterable<string>): ReadonlyMap<string, Element> {
  const distinct = [...new Set(keys)].sort();
  return new Map(distinct.map((key) => [key, { key }]));
}

/** A plan of one of our tables. */
export type PolicyTable = TablePlan & { readonly table: typeof POLICY_TABLE };
