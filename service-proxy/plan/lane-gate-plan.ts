// The gate of a Service's lane: what is asked about its entry points, and what the kernel is told
// of the answers. Pure but for the asking.

import type { Family } from "../../lib/nft/objects.ts";
import type { GateAnswer, GateEndpoint, GateQuestion, LaneGate } from "../model/lane-gate.ts";
import type { FrontendSide, ProxyFrontend, ProxyGroup } from "../model/proxy-plan.ts";
import type { EntryPoint } from "./proxy-port-plan.ts";
import type { UsableEndpoints } from "./usable-endpoints.ts";

/** By the id that an entry point has in the kernel's maps. */
export type GateQuestions = ReadonlyMap<string, GateQuestion>;

interface GateElement {
  readonly set: string;
  readonly key: string;
}

/**
 * @param groups of the port
 * @param routed whom its routes lead to, all in all; undefined where it has none
 */
export function gateQuestion(
  { kind }: EntryPoint,
  { inside, outside }: ProxyFrontend,
  groups: ReadonlyMap<string, ProxyGroup>,
  routed: readonly GateEndpoint[] | undefined,
): GateQuestion {
  const members = ({ group, source }: FrontendSide): readonly GateEndpoint[] => {
    const endpoints = routed ?? groups.get(group)?.endpoints ?? [];
    return source === "node" ? endpoints.map(masqueraded) : endpoints;
  };
  return {
    inside: members(inside),
    outside: members(outside),
    isExternal: kind === "external",
  };
}

/** As the kernel lane does it: policies of this node see the client, those of others this node. */
function masqueraded(endpoint: GateEndpoint & { readonly local?: boolean }): GateEndpoint {
  const { address, port, local } = endpoint;
  return local === true ? endpoint : { address, port, isMasqueraded: true };
}

/** Whom policy Cluster may lead to: workers go beyond their zone where it has no room. */
export function reachable({ cluster, reach }: UsableEndpoints): readonly GateEndpoint[] {
  return reach.kind === "zone" ? [...cluster, ...reach.beyond] : cluster;
}

/** Asks about all entry points that a Service has in a lane: what it had before is forgotten. */
export function gateElements(
  gate: LaneGate,
  service: string,
  family: Family,
  questions: GateQuestions,
): readonly GateElement[] {
  const ids = [...questions.keys()];
  const answers = gate.ask(service, family, [...questions.values()]);
  return answers.flatMap((answer, i) => answerElements(ids[i] ?? "", answer));
}

/** What the kernel is told of one answer. */
export function answerElements(
  id: string,
  { isGuarded, pods, blocks, deniesNode }: GateAnswer,
): readonly GateElement[] {
  return [
    ...(isGuarded ? [{ set: "lane-guarded", key: id }] : []),
    ...pods.map((pod) => ({ set: "lane-allow", key: `${pod} . ${id}` })),
    ...blocks.map((block) => ({ set: "lane-allow-blocks", key: `${id} . ${block}` })),
    ...(deniesNode ? [{ set: "lane-host-denied", key: id }] : []),
  ];
}
