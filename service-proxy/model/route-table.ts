// HTTP routing rules as values: what HTTPRoute and GRPCRoute become for one Service port, already
// in the order of precedence, references resolved, regular expressions checked.
// Gateway API 1.6.3, GEP-1324 (mesh).

import type { HttpCorsPolicy } from "../../lib/kube/api/http-route-cors.ts";
import type { GroupKey } from "./proxy-plan.ts";

/** The first rule that matches serves the request; when none does, the answer is 404. */
export interface RouteTable {
  readonly rules: readonly RouteRule[];
}

/** One match of one rule of one route: precedence is per match, so rules are unrolled by it. */
export interface RouteRule {
  /** `HTTPRoute shop/canary` and the rule's name, or its index: for metrics, logs, `explain`. */
  readonly route: string;
  readonly rule: string;
  readonly match: RouteMatch;
  readonly filters: readonly RouteFilter[];
  /** Empty: answered by a filter (redirect), else 500. */
  readonly backends: readonly RouteBackend[];
  readonly timeouts: RouteTimeouts;
  readonly retry?: RouteRetry;
  readonly sessionPersistence?: SessionPersistence;
  /** gRPC: errors are answered as gRPC statuses. */
  readonly grpc: boolean;
}

/** All that is given must match. */
export interface RouteMatch {
  /** Lower-case names, `*.` as first label for any; empty for every host. */
  readonly hostnames: readonly string[];
  readonly path?: PathMatch;
  readonly method?: string;
  readonly headers: readonly ValueMatch[];
  readonly queryParams: readonly ValueMatch[];
  /** A consumer route: only for clients that are pods of this namespace. */
  readonly clientNamespace?: string;
}

export type PathMatch =
  | { readonly kind: "exact"; readonly value: string }
  /** By path elements: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. */
  | { readonly kind: "prefix"; readonly value: string }
  /** Anchored at both ends; linear time. */
  | { readonly kind: "regex"; readonly value: string };

export interface ValueMatch {
  /** Header names are lower-case; query parameters keep their case. */
  readonly name: string;
  readonly kind: "exact" | "regex";
  readonly value: string;
}

export interface HeaderChange {
  readonly set: readonly (readonly [string, string])[];
  readonly add: readonly (readonly [string, string])[];
  readonly remove: readonly string[];
}

export type PathChange =
  | { readonly kind: "full"; readonly value: string }
  /** Replaces what the rule's prefix matched. */
  | { readonly kind: "prefix"; readonly value: string };

export type RouteFilter =
  | { readonly kind: "request-headers"; readonly change: HeaderChange }
  | { readonly kind: "response-headers"; readonly change: HeaderChange }
  | {
      readonly kind: "redirect";
      readonly scheme?: "http" | "https";
      readonly hostname?: string;
      readonly port?: number;
      readonly path?: PathChange;
      readonly status: 301 | 302 | 303 | 307 | 308;
    }
  | { readonly kind: "rewrite"; readonly hostname?: string; readonly path?: PathChange }
  /** `share` of the requests, 0–1, are sent there too; what it answers is thrown away. */
  | { readonly kind: "mirror"; readonly group: GroupKey; readonly share: number }
  | { readonly kind: "cors"; readonly policy: HttpCorsPolicy };

export interface RouteBackend {
  /** Undefined where the reference leads nowhere or is not granted: that share answers 500. */
  readonly group?: GroupKey;
  /** At least 0; a share of the sum. */
  readonly weight: number;
  readonly filters: readonly RouteFilter[];
}

/** Undefined: the worker's default; 0: none. */
export interface RouteTimeouts {
  readonly requestMs?: number;
  readonly backendRequestMs?: number;
}

/** GEP-1731. */
export interface RouteRetry {
  readonly statusCodes: readonly number[];
  /** Beside the first attempt. */
  readonly attempts: number;
  readonly backoffMs: number;
}

/** GEP-1619. */
export interface SessionPersistence {
  readonly kind: "cookie" | "header";
  readonly name: string;
  readonly absoluteTimeoutMs?: number;
  readonly permanent: boolean;
}
