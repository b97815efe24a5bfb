// Which lane serves a Service port, and the rule that chose it: the cheapest that keeps every
// promise. Pure.

import type { Protocol } from "../../lib/kube/api/service.ts";
import type { PortKind } from "../model/proxy-plan.ts";

export type Lane = "kernel" | "l4" | "l7";

export type ProxyMode = "auto" | "kernel" | "userspace";

export interface LaneChoice {
  readonly lane: Lane;
  /** The rule, as a sentence without its full stop. */
  readonly rule: string;
}

export const LANE_LABEL = "innermesh.io/lane";

/** What may move a port out of the kernel. */
export interface LaneFacts {
  readonly protocol: Protocol;
  readonly proxyMode: ProxyMode;
  readonly serviceLabel: string | undefined;
  readonly namespaceLabel: string | undefined;
  /** Routes whose parent is this port. */
  readonly routes: PortKind | undefined;
  /** A pod of this node that has an identity may call an endpoint that has one. */
  readonly hasIdentities: boolean;
  /** A UDPRoute has this port. */
  readonly hasUdpRoute: boolean;
}

/**
 * The nearest wins: the Service's label, the namespace's, routes, identities, the node's mode. The
 * kernel can prove no identity, so where there are some nothing leaves TCP to it.
 */
export function laneOf(facts: LaneFacts): LaneChoice {
  const choice = chosenLane(facts);
  if (!facts.hasIdentities || facts.protocol !== "TCP" || choice.lane !== "kernel") return choice;
  return { lane: "l4", rule: "clients here and endpoints have identities to prove" };
}

function chosenLane(facts: LaneFacts): LaneChoice {
  const { protocol, proxyMode, routes, hasUdpRoute } = facts;
  if (protocol !== "TCP") {
    const rule = `${protocol} is always served by the kernel`;
    return { lane: "kernel", rule: hasUdpRoute ? `a UDPRoute names it; ${rule}` : rule };
  }
  const labelled = byLabel(facts);
  if (labelled !== undefined) return labelled;
  if (routes !== undefined) {
    return { lane: routes.kind === "http" ? "l7" : "l4", rule: `${namesOf(routes)} names it` };
  }
  if (proxyMode === "userspace") return { lane: "l4", rule: "--proxy-mode=userspace" };
  if (proxyMode === "kernel") return { lane: "kernel", rule: "--proxy-mode=kernel" };
  return { lane: "kernel", rule: "the default: nothing asks for a proxy" };
}

function byLabel({ serviceLabel, namespaceLabel, routes }: LaneFacts): LaneChoice | undefined {
  const labels = [
    { value: serviceLabel, of: "label" },
    { value: namespaceLabel, of: "the namespace's label" },
  ];
  for (const { value, of } of labels) {
    const lane = parseLane(value);
    if (lane === undefined) continue;
    const rule = `${of} ${LANE_LABEL}=${lane}`;
    // An HTTP route cannot be kept without reading HTTP, nor a TCP route by reading it.
    if (lane === "l4" && routes?.kind === "http")
      return { lane: "l7", rule: `${rule}, and a route` };
    if (lane === "l7" && routes !== undefined && routes.kind !== "http") {
      return { lane: "l4", rule: `${rule}, and a route` };
    }
    return { lane, rule };
  }
  return undefined;
}

function namesOf(routes: PortKind): string {
  switch (routes.kind) {
    case "http":
      return [...new Set(routes.routes?.rules.map(({ route }) => route))].join(", ");
    case "tcp":
      return "a TCPRoute";
    case "tls":
      return "a TLSRoute";
    default:
      return routes satisfies never;
  }
}

/** Undefined for `auto`, for nothing, and for what is no lane. */
function parseLane(value: string | undefined): Lane | undefined {
  return value === "kernel" || value === "l4" || value === "l7" ? value : undefined;
}

/** True for a label that means nothing, so that somebody can be told. */
export function isUnknownLane(value: string | undefined): boolean {
  return value !== undefined && value !== "auto" && parseLane(value) === undefined;
}
