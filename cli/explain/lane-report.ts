// The lane of a Service as `explain` tells it: that of its most demanding port, and what it costs.
// Pure.

import type { Service } from "../../lib/kube/api/service.ts";
import type { Lane, LaneChoice } from "../../service-proxy/plan/lane.ts";
import type { PlannedNode } from "./planned-node.ts";

const BY_COST: readonly Lane[] = ["kernel", "l4", "l7"];

export function laneReport({ plan }: Pick<PlannedNode, "plan">, service: Service): LaneChoice {
  const choices = service.ports.map((port) => plan.lanes.choice(service, port));
  const [first, ...others] = choices.sort(
    (a, b) => BY_COST.indexOf(b.lane) - BY_COST.indexOf(a.lane),
  );
  if (first === undefined) return { lane: "kernel", rule: "no port" };
  const rest = others.filter(({ lane }) => lane !== first.lane).length;
  const rule = rest === 0 ? first.rule : `${first.rule}; ${rest} of its ports in a cheaper lane`;
  return { lane: first.lane, rule };
}

/** What a lane costs beside the kernel lane, in words; docs/benchmarks.md has the figures. */
export function laneCost(lane: Lane): string | undefined {
  switch (lane) {
    case "kernel":
      return undefined;
    case "l4":
      return "a proxy worker copies every byte and keeps a second connection for each";
    case "l7":
      return "a proxy worker reads every request and routes it";
    default:
      return lane satisfies never;
  }
}
