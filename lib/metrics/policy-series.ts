// The series of policies: what a node knows and holds of them, and what its kernel and its workers
// decide by them. Labels are closed sets and names of policies, up to a limit.

import { counter, exponentialBuckets, gauge, histogram } from "./series.ts";

const DIRECTION = ["direction"] as const;
const ATTACK = ["attack"] as const;

export const policySeries = {
  verdicts: counter("innermesh_policy_verdicts_total", {
    labels: ["direction", "verdict", "policy"],
    help:
      "Verdicts of proxy workers: allow, deny, and audit where a rule wants it told; by the " +
      "policy that decided, (none) for a default, (other) beyond the limit of names.",
  }),
  denied: counter("innermesh_policy_denied_packets_total", {
    labels: ["reason"],
    help:
      "Packets denied in the kernel: in and out (by direction), proven (past the workers to a " +
      "port that only they open), held (whose it is was not known yet), ended (of an ended " +
      "flow), lane (before a proxy lane took the connection).",
  }),
  denialsTold: gauge("innermesh_policy_denials_told", {
    labels: [],
    help:
      "1 where the kernel tells of some that it denies, 0 where it cannot: it denies all the " +
      "same, and only counts.",
  }),
  objects: gauge("innermesh_policy_objects", {
    labels: ["kind"],
    help: "Policies that the node knows.",
  }),
  problems: gauge("innermesh_policy_problems", {
    labels: [],
    help: "What is wrong with policies; until it is mended it denies. Events and the log name it.",
  }),
  pods: gauge("innermesh_policy_pods", {
    labels: DIRECTION,
    help: "Pods of this node about which some policy, or the default of the mesh, says something.",
  }),
  sets: gauge("innermesh_policy_sets", {
    labels: DIRECTION,
    help: "Different sets of policies that hold for these pods: pods with equal ones share one.",
  }),
  groups: gauge("innermesh_policy_groups", {
    labels: [],
    help: "Groups of addresses that those sets name.",
  }),
  members: gauge("innermesh_policy_group_members", {
    labels: [],
    help: "Addresses in those groups.",
  }),
  provenAge: gauge("innermesh_enforcement_proven_age_seconds", {
    labels: ATTACK,
    help:
      "Time since the canary last saw an attack on a pod of this node stopped: spoofed-source, " +
      "plaintext (to a strict pod), skipped-proxy (to a port that only workers open), denied. " +
      "Missing where there is no such pod.",
  }),
  canaryFailures: counter("innermesh_canary_failures_total", {
    labels: ATTACK,
    help: "Attacks of the canary that were not seen to be stopped.",
  }),
  applyDuration: histogram("innermesh_policy_apply_duration_seconds", {
    labels: [],
    buckets: exponentialBuckets(0.001, 2, 14),
    help: "Time from seeing a change of policies, or of whom they are about, to kernel's rules.",
  }),
};
