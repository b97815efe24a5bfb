// The routes that name one Service as their parent, and what each of them is told. Pure.

import type { KubeStore } from "../../lib/kube/store.ts";
import type { RouteCondition, RouteStatus } from "../../service-proxy/model/route-status.ts";
import { makeRoutePlanner } from "../../service-proxy/plan/route-plan.ts";

export interface AttachedRoute {
  /** e.g. `HTTPRoute shop/canary` */
  readonly route: string;
  readonly inUse: boolean;
  /** What is wrong, one sentence each. */
  readonly faults: readonly string[];
}

/** @param key `namespace/name` of the Service */
export function attachedRoutes(store: KubeStore, key: string): readonly AttachedRoute[] {
  return makeRoutePlanner()(store).statuses.flatMap((status) => {
    const parents = status.parents.filter(({ parentRef }) => serviceOf(status, parentRef) === key);
    if (parents.length === 0) return [];
    const conditions = parents.flatMap((parent) => parent.conditions);
    return [
      {
        route: `${status.kind} ${status.namespace}/${status.name}`,
        inUse: conditions.some(({ type, status: is }) => type === "Accepted" && is === "True"),
        faults: [...new Set(conditions.filter(isFault).map(inWords))],
      },
    ];
  });
}

function serviceOf(
  { namespace }: RouteStatus,
  ref: RouteStatus["parents"][number]["parentRef"],
): string {
  return `${ref.namespace ?? namespace}/${ref.name}`;
}

function isFault({ type, status }: RouteCondition): boolean {
  return (status === "False") !== (type === "PartiallyInvalid");
}

function inWords({ type, reason, message }: RouteCondition): string {
  return `${type} ${reason}: ${message}`;
}
