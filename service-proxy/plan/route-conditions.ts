// What a route is told: one status entry for each Service it names, in the words of the Gateway
// API, and the same as problems for logs and Events.

import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { ParentRef, RuleFault } from "../../lib/kube/api/route-fields.ts";
import {
  CONTROLLER_NAME,
  type RouteCondition,
  type RouteParentStatus,
  type RouteStatus,
} from "../model/route-status.ts";
import type { AnyRoute, Refusal } from "./route-attachment.ts";
import type { RefFailure } from "./route-backends.ts";

/** What is known about one route after planning. */
export interface RouteOutcome {
  readonly route: AnyRoute;
  /** Of its rules, by index; undefined where a rule can be honoured. */
  readonly faults: readonly (RuleFault | undefined)[];
  /** The first reference that leads nowhere. */
  readonly refFailure: RefFailure | undefined;
  /** Each parentRef that is a Service, and why none of its ports took the route. */
  readonly parents: readonly { readonly ref: ParentRef; readonly refusal: Refusal | undefined }[];
}

/** Longer messages are cut: the API allows 32,768 characters, people read fewer. */
const MAX_MESSAGE_LENGTH = 1_024;

export function describeRoute(outcome: RouteOutcome): RouteStatus {
  const { kind, namespace, name, uid } = outcome.route;
  const parents = outcome.parents.map(
    ({ ref, refusal }): RouteParentStatus => ({
      parentRef: ref,
      controllerName: CONTROLLER_NAME,
      conditions: conditionsOf(outcome, refusal),
    }),
  );
  return { kind, namespace, name, uid, parents };
}

/** Every condition that says that something is wrong, once for each route. */
export function problemsOf(status: RouteStatus): readonly Problem[] {
  const problems = new Map<string, Problem>();
  const object = `${status.kind} ${status.namespace}/${status.name}`;
  for (const { conditions } of status.parents) {
    for (const { type, status: state, reason, message } of conditions) {
      if ((state === "False") === (type === "PartiallyInvalid")) continue;
      const said = `${reason}: ${message}`;
      problems.set(said, { object, field: `status.parents ${type}`, message: said });
    }
  }
  return [...problems.values()];
}

function conditionsOf(
  { route, faults, refFailure }: RouteOutcome,
  refusal: Refusal | undefined,
): readonly RouteCondition[] {
  const make = (
    type: RouteCondition["type"],
    status: RouteCondition["status"],
    { reason, message }: Pick<RouteCondition, "reason" | "message">,
  ): RouteCondition => ({
    type,
    status,
    reason,
    message: message.slice(0, MAX_MESSAGE_LENGTH),
    observedGeneration: route.generation,
  });
  const found = faults.flatMap((fault, i) => (fault === undefined ? [] : [{ fault, i }]));
  const [first] = found;
  const wholly = first !== undefined && found.length === faults.length;
  const why = refusal ?? (wholly ? first.fault : undefined);
  const accepted =
    why === undefined
      ? make("Accepted", "True", { reason: "Accepted", message: "The route is in use" })
      : make("Accepted", "False", why);
  const resolvedRefs =
    refFailure === undefined
      ? make("ResolvedRefs", "True", { reason: "ResolvedRefs", message: "All references resolve" })
      : make("ResolvedRefs", "False", refFailure);
  // Not to be set unless the route is accepted and some of it is not.
  if (why !== undefined || first === undefined) return [accepted, resolvedRefs];
  const dropped = found.map(({ fault, i }) => `${i} (${fault.message})`).join(", ");
  const message = `Dropped Rule ${dropped}: what it matches is answered 500`;
  const partially = make("PartiallyInvalid", "True", { reason: "UnsupportedValue", message });
  return [accepted, resolvedRefs, partially];
}
