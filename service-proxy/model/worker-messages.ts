// What the control process and its proxy workers say to each other: one JSON object a line, over a
// socket that the worker inherits. A worker is told plans and asks for nothing.

import type { TapFilter, TappedRequest } from "./admin-protocol.ts";
import type { TelemetryMessage } from "./edge.ts";
import type { ProxyPlanDelta } from "./proxy-plan.ts";

export interface WorkerSettings {
  /** Doors for local pods, and for everybody else. */
  readonly portInside: number;
  readonly portOutside: number;
  readonly families: readonly ("ip" | "ip6")[];
  /** For tunnels, and for calls of pods to pods. Missing where identities are off. */
  readonly tunnelDoors?: { readonly tunnelPort: number; readonly directPort: number };
  /** Share of requests that get an access line, 0–1. */
  readonly accessLogShare: number;
  /** Forwarded messages tell of this hop. */
  readonly via: boolean;
}

export type ToWorker =
  /** First of all: where to listen. The plan follows, then the doors open. */
  | {
      readonly kind: "start";
      readonly settings: WorkerSettings;
      readonly plan: ProxyPlanDelta;
      /** Missing where identities are off. */
      readonly identity?: unknown;
    }
  | { readonly kind: "plan"; readonly sequence: number; readonly delta: ProxyPlanDelta }
  /** For the part of a worker that carries identities; answered as a plan is. */
  | { readonly kind: "identity"; readonly sequence: number; readonly delta: unknown }
  /** Beats now. */
  | { readonly kind: "report" }
  /** Shows requests that pass the filter, until it is closed. */
  | { readonly kind: "tap"; readonly id: number; readonly filter: TapFilter }
  | { readonly kind: "untap"; readonly id: number }
  /** Closes its doors after `acceptMs`, ends as the last connection ends or the time is over. */
  | { readonly kind: "drain"; readonly acceptMs: number; readonly limitMs: number };

export type FromWorker =
  /** The doors are open. */
  | { readonly kind: "listening" }
  /** They are closed: it drains. */
  | { readonly kind: "closed" }
  /** A plan is in force. */
  | { readonly kind: "applied"; readonly sequence: number }
  /** Every second: it is alive, and what it did. */
  | {
      readonly kind: "beat";
      readonly telemetry: TelemetryMessage;
      /** What the part that carries identities counted. */
      readonly identity?: unknown;
    }
  | { readonly kind: "tapped"; readonly id: number; readonly request: TappedRequest };
