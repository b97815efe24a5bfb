// What carries connections between the two nodes: where clients call it, and which processes do it.

import type { Target } from "./rig.ts";

export const SIDES = ["client", "server"] as const;
export type Side = (typeof SIDES)[number];

/**
 * - `pooled`: leads to the HTTP backend; connections share a session.
 * - `cold`: the same, a session for each connection.
 * - `sink` and `source`: lead to what takes a stream, and to what sends one.
 */
export const DOORS = ["pooled", "cold", "sink", "source"] as const;
export type Door = (typeof DOORS)[number];

export interface TunnelSubject {
  /** As budgets name it. */
  readonly key: "none" | "envoy" | "node:http2" | "innermesh";
  /** With its version. */
  readonly subject: string;
  /** What does the work on each node; undefined when nothing does. */
  readonly pids: Readonly<Record<Side, number>> | undefined;
  readonly doors: Readonly<Record<Door, readonly Target[]>>;
}
