// Pods of this node that left the mesh a moment ago: other nodes hear of it a little earlier or
// later. Meanwhile they are served as permissive pods are, and begin no tunnels themselves. Pure;
// what is remembered is a value.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { TunnelWorkload } from "../model/tunnel-plan.ts";
import { type EnrolmentLabels, enrolmentOf } from "./enrolment.ts";

/** Long enough for every node to hear of it, and for most of what is under way to end. */
export const LEAVING_MS = 10_000;

/** When they will have left (monotonic ms), by uid. */
export type LeavingPods = ReadonlyMap<string, number>;

export interface LeavingLook {
  /** What was served so far. */
  readonly workloads: Iterable<TunnelWorkload>;
  /** Those that are over leave nothing behind. */
  readonly pods: Iterable<Pod>;
  readonly labels: EnrolmentLabels;
  /** Monotonic. */
  readonly nowMs: number;
}

/** Looks again at who is leaving. */
export function nextLeavingPods(
  before: LeavingPods,
  { workloads, pods, labels, nowMs }: LeavingLook,
): LeavingPods {
  const served = new Set<string>();
  for (const { uid, mode } of workloads) if (mode !== "leaving") served.add(uid);
  const after = new Map<string, number>();
  for (const pod of pods) {
    const untilMs = served.has(pod.uid) ? nowMs + LEAVING_MS : before.get(pod.uid);
    if (untilMs === undefined || untilMs <= nowMs || pod.isOver) continue;
    if (enrolmentOf(pod, labels).mode === "off") after.set(pod.uid, untilMs);
  }
  return after;
}
