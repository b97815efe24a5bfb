// Which lane serves a Service, and the rule that chose it. The kernel lane is the only one so far;
// a label that asks for another is told so instead of being passed over.

import type { Service } from "../../lib/kube/api/service.ts";

export interface LaneChoice {
  readonly lane: "kernel";
  /** The rule, as a sentence without its full stop. */
  readonly rule: string;
}

const LANE_LABEL = "innermesh.io/lane";

/** @param proxyMode `--proxy-mode` of the node */
export function laneOf(service: Pick<Service, "labels">, proxyMode: "auto" | "kernel"): LaneChoice {
  const label = service.labels[LANE_LABEL];
  if (label === "l4" || label === "l7") {
    const rule = `label ${LANE_LABEL}=${label} asks for a proxy, which this version has not`;
    return { lane: "kernel", rule };
  }
  if (label === "kernel") return { lane: "kernel", rule: `label ${LANE_LABEL}=kernel` };
  if (proxyMode === "kernel") return { lane: "kernel", rule: "--proxy-mode=kernel" };
  return { lane: "kernel", rule: "the default: nothing asks for a proxy" };
}
