// What a run knows about its cluster before the first case, and how cases see it. Pure.

import type { AddressFamily } from "../lib/ip/address.ts";
import { type Agent, addressOf } from "./agent-identity.ts";
import type { ClusterNode } from "./cluster/cluster.ts";

/** What a run found out about the cluster before its first case. */
export interface ClusterFacts {
  readonly agents: readonly Agent[];
  readonly nodes: readonly ClusterNode[];
  /** Of its Services, the primary one first. */
  readonly families: readonly AddressFamily[];
  /** What `:10249/proxyMode` says; missing when no agent could ask. */
  readonly proxyMode?: string;
}

/** A Node that runs a pod agent, as cases see it: addresses are of one family. */
export interface StageNode {
  readonly name: string;
  /** Its first InternalIP. */
  readonly address: string;
  readonly zone?: string;
  /** At least one, sorted by name. */
  readonly pods: readonly Agent[];
  readonly host?: Agent;
}

/** Nodes that cases of one family can use: those with most pods first, then by name. */
export function stageNodes(facts: ClusterFacts, family: AddressFamily): readonly StageNode[] {
  const here = facts.agents.filter((agent) => addressOf(agent, family) !== undefined);
  const nodes = facts.nodes.flatMap(({ name, addresses, zone }) => {
    const pods = here.filter((agent) => agent.place === "pod" && agent.node === name);
    const host = here.find((agent) => agent.place === "host" && agent.node === name);
    const address = addresses.find((text) => text.includes(":") === (family === "ip6"));
    if (pods.length === 0 || address === undefined) return [];
    return [{ name, address, pods, ...(zone !== undefined && { zone }), ...(host && { host }) }];
  });
  return nodes.toSorted((a, b) => b.pods.length - a.pods.length || (a.name < b.name ? -1 : 1));
}

/** Agents outside the cluster with an address of the family. */
export function outsideAgents(facts: ClusterFacts, family: AddressFamily): readonly Agent[] {
  return facts.agents.filter(
    (agent) => agent.place === "outside" && addressOf(agent, family) !== undefined,
  );
}
