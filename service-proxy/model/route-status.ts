// What a controller writes into the status of a route: one entry for each parent that is ours.

import type { ParentRef } from "../../lib/kube/api/route-fields.ts";

/** Names us in statuses, and classes of Gateways. */
export const CONTROLLER_NAME = "innermesh.io/gateway";

export type RouteKind = "HTTPRoute" | "GRPCRoute" | "TCPRoute" | "TLSRoute" | "UDPRoute";

export interface RouteStatus {
  readonly kind: RouteKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Entries for Services; entries of other controllers are theirs. Empty: we have no part. */
  readonly parents: readonly RouteParentStatus[];
}

export interface RouteParentStatus {
  readonly parentRef: ParentRef;
  readonly controllerName: typeof CONTROLLER_NAME;
  readonly conditions: readonly RouteCondition[];
}

/** Without lastTransitionTime, which the writer knows. */
export interface RouteCondition {
  readonly type: "Accepted" | "ResolvedRefs" | "PartiallyInvalid";
  readonly status: "True" | "False";
  readonly reason: AcceptedReason | ResolvedRefsReason;
  readonly message: string;
  readonly observedGeneration: number;
}

export type AcceptedReason =
  | "Accepted"
  | "NoMatchingParent"
  | "NotAllowedByListeners"
  /** Another kind of route has the port (GEP-1294). */
  | "Conflicted"
  | "UnsupportedValue"
  | "IncompatibleFilters";

export type ResolvedRefsReason =
  | "ResolvedRefs"
  | "RefNotPermitted"
  | "InvalidKind"
  | "BackendNotFound"
  | "UnsupportedProtocol";
