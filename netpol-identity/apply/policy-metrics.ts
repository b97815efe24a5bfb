// Puts policies on the page that Prometheus reads, when it reads it.

import type { Registry } from "@prometheus-io/client";
import type { KubeStore } from "../../lib/kube/store.ts";
import { collectCounter, collectGauge, type Sample } from "../../lib/metrics/collected-series.ts";
import { policySeries as series } from "../../lib/metrics/policy-series.ts";
import { makeHistogram } from "../../lib/metrics/recorder.ts";
import type { PolicyObjects } from "../evaluate/policy-book.ts";
import type { GroupId, PolicySet } from "../evaluate/policy-set.ts";
import { setsAsked } from "../plan/network-rules.ts";
import type { NetworkWorld } from "../plan/network-world.ts";
import { policyProblems } from "./policy-problems.ts";
import type { PolicyStats } from "./policy-stats.ts";

export interface ExposedPolicies {
  readonly store: PolicyObjects & Pick<KubeStore, "problems">;
  /** What the kernel is to know; undefined before the first look. */
  readonly network: () => NetworkWorld | undefined;
  readonly stats: Pick<PolicyStats, "verdicts">;
  /** Packets denied so far, by reason. */
  readonly denials: () => Promise<Readonly<Record<string, number>>>;
}

const DIRECTIONS = ["ingress", "egress"] as const;

/**
 * @param page the registry of the node's process, without these series
 * @returns whom to tell how long a change took until the kernel held it, in milliseconds
 */
export function exposePolicies(
  page: Registry,
  { store, network, stats, denials }: ExposedPolicies,
): (durationMs: number) => void {
  collectCounter(page, series.verdicts, () =>
    Array.from(stats.verdicts, ({ direction, verdict, policy, times }) => ({
      labels: { direction, verdict, policy },
      value: times,
    })),
  );
  let denied: Readonly<Record<string, number>> = {};
  collectCounter(page, series.denied, async () => {
    // A kernel that does not answer has not forgotten.
    denied = await denials().catch(() => denied);
    return Object.entries(denied).map(([reason, value]) => ({ labels: { reason }, value }));
  });
  collectGauge(page, series.denialsTold, () => one(network()?.logGroup === undefined ? 0 : 1));
  collectGauge(page, series.objects, () => [
    { labels: { kind: "NetworkPolicy" }, value: store.networkPolicies.size },
    { labels: { kind: "ClusterNetworkPolicy" }, value: store.clusterNetworkPolicies.size },
    { labels: { kind: "ServiceAccountPolicy" }, value: store.serviceAccountPolicies.size },
    { labels: { kind: "MeshPolicy" }, value: store.meshPolicies.size },
  ]);
  collectGauge(page, series.problems, () => one(policyProblems(store).length));
  exposeWorld(page, network);
  const duration = makeHistogram(page, series.applyDuration);
  return (durationMs) => duration.observe(durationMs / 1_000);
}

function exposeWorld(page: Registry, network: ExposedPolicies["network"]): void {
  const byDirection = (count: (sets: readonly PolicySet[]) => number): Sample<"direction">[] =>
    DIRECTIONS.map((direction) => {
      const pods = network()?.pods ?? [];
      const sets = pods.flatMap((pod) => pod[direction] ?? []);
      return { labels: { direction }, value: count(sets) };
    });
  collectGauge(page, series.pods, () => byDirection((sets) => sets.length));
  collectGauge(page, series.sets, () => byDirection((sets) => new Set(sets).size));
  collectGauge(page, series.groups, () => one(groupsOf(network()).size));
  collectGauge(page, series.members, () => {
    const groups = network()?.groups;
    const sizes = [...groupsOf(network())].map((group) => groups?.addresses(group)?.size ?? 0);
    return one(sizes.reduce((sum, size) => sum + size, 0));
  });
}

/** Those that the kernel has for pods of this node. */
function groupsOf(network: NetworkWorld | undefined): ReadonlySet<GroupId> {
  const sets = new Set(
    (network?.pods ?? []).flatMap(({ ingress, egress }) => [ingress ?? [], egress ?? []].flat()),
  );
  return new Set([...sets].flatMap((set) => setsAsked("in", set).addresses));
}

function one(value: number): readonly Sample<never>[] {
  return [{ labels: {}, value }];
}
