// What a case is, what it may need of a cluster, and whether a cluster has it. Pure.

import type { AddressFamily } from "../lib/ip/address.ts";
import { type ClusterFacts, outsideAgents, stageNodes } from "./cluster-facts.ts";
import type { Stage } from "./stage.ts";

export interface Needs {
  /** Nodes that run a pod agent. @default 1 */
  readonly nodes?: number;
  /** Pod agents in all. @default 1 */
  readonly pods?: number;
  /** Every such node also runs an agent in its own network namespace. @default false */
  readonly hosts?: boolean;
  /** An agent outside the cluster that reaches node addresses. @default false */
  readonly outside?: boolean;
  /** Every such node has a zone. @default false */
  readonly zones?: boolean;
  /** A rule that kube-proxy's older modes lack. @default false */
  readonly notIptables?: boolean;
}

export interface ConformanceCase {
  /** As its file is named; unique in its suite. */
  readonly id: string;
  /** The rule, as a sentence. */
  readonly name: string;
  /** `each`: once per family of the cluster. `once`: the primary one. `both`: needs two. */
  readonly families: "each" | "once" | "both";
  readonly needs: Needs;
  /** Changes what other cases rely on (readiness of shared pods): runs while no other does. */
  readonly exclusive?: boolean;
  /** Throws ClaimError when a claim does not hold, SkipError when the cluster lacks something. */
  readonly run: (stage: Stage) => Promise<void>;
}

/** The families a case runs in on this cluster; empty when it needs two and there is one. */
export function familiesOf(
  { families: wish }: ConformanceCase,
  families: readonly AddressFamily[],
): readonly AddressFamily[] {
  if (wish === "each") return families;
  return wish === "both" && families.length < 2 ? [] : families.slice(0, 1);
}

/** Why a case cannot run here, as a sentence; undefined when it can. */
export function unmetNeed(
  needs: Needs,
  facts: ClusterFacts,
  family: AddressFamily,
): string | undefined {
  const nodes = stageNodes(facts, family);
  const pods = nodes.reduce((sum, node) => sum + node.pods.length, 0);
  const { nodes: nodesNeeded = 1, pods: podsNeeded = 1 } = needs;
  if (nodes.length < nodesNeeded) return `needs agents on ${nodesNeeded} nodes: ${nodes.length}`;
  if (pods < podsNeeded) return `needs ${podsNeeded} agents in pods: ${pods}`;
  const hostless = nodes.find((node) => node.host === undefined);
  if (needs.hosts === true && hostless !== undefined) {
    return `needs an agent in node ${hostless.name}'s own network: hostNetwork was refused`;
  }
  const zoneless = nodes.find((node) => node.zone === undefined);
  if (needs.zones === true && zoneless !== undefined) {
    return `needs label topology.kubernetes.io/zone: node ${zoneless.name} has none`;
  }
  if (needs.outside === true && outsideAgents(facts, family).length === 0) {
    return "needs an agent outside the cluster that reaches node addresses: none";
  }
  if (needs.notIptables === true && facts.proxyMode === "iptables") {
    return "needs a rule that iptables mode does not have: /proxyMode is iptables";
  }
  return undefined;
}
