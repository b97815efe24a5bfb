// Writes into policies whether they were understood, whom they select and on which nodes they hold,
// for as long as this process leads.

import type { Clock } from "../../lib/clock/clock.ts";
import { formatTime } from "../../lib/kube/api/condition.ts";
import type { KubeClient } from "../../lib/kube/client.ts";
import type { Leadership } from "../../lib/kube/lease.ts";
import type { StatusBook } from "../../lib/kube/status-book.ts";
import type { StatusEvent, StatusSubject } from "../../lib/kube/status-keeper.ts";
import { LOOK_INTERVAL_MS, runStatusLoop } from "../../lib/kube/status-loop.ts";
import { type KubeStore, keyOf } from "../../lib/kube/store.ts";
import { selectsInNamespace } from "../evaluate/pod-query.ts";
import { policyOfServiceAccountPolicy } from "../evaluate/read-service-account-policy.ts";
import { isNodeAgent } from "../plan/peer-nodes.ts";
import {
  judgePolicy,
  nextPolicyStatus,
  nextSharedStatus,
  type PolicyVerdict,
} from "../plan/policy-status.ts";
import type { AskAgent } from "./ask-agent.ts";
import { EnforcementWatch } from "./enforcement-watch.ts";

export interface PolicyStatusParts {
  /** Of policies, and of the pods, Namespaces and Nodes of the cluster. */
  readonly store: KubeStore;
  /** Notes the objects of `store`. */
  readonly book: StatusBook;
  readonly client: Pick<KubeClient, "getJson" | "patch">;
  readonly ask: AskAgent;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onEvent: (event: StatusEvent) => void;
}

/** Kinds with a status of ours. */
const KINDS = ["ServiceAccountPolicy", "MeshPolicy", "ClusterNetworkPolicy"] as const;

/** Keeps statuses until the leadership ends, and resolves when no write is under way any more. */
export async function runPolicyStatus(
  leadership: Leadership,
  parts: PolicyStatusParts,
): Promise<void> {
  const { store, book, ask, clock } = parts;
  const watch = new EnforcementWatch({ agents: () => agentsOf(store), ask, clock });
  let revision = revisionOf(store);
  const stop = store.onChange(() => {
    if (revisionOf(store) === revision) return;
    revision = revisionOf(store);
    watch.hurry();
  });
  const loop = runStatusLoop(leadership, {
    ...parts,
    isReady: () => store.synced,
    // Pods come and go all the time: they are counted again after each round.
    sources: [book, watch],
    subjects: makeSubjects(parts, watch),
  });
  await Promise.all([loop, watchOnceSynced(watch, parts, leadership.signal)]);
  stop();
}

/** Before that it would look as if there were no node. */
async function watchOnceSynced(
  watch: EnforcementWatch,
  { store, clock }: PolicyStatusParts,
  signal: AbortSignal,
): Promise<void> {
  while (!store.synced && !signal.aborted) await clock.sleep(LOOK_INTERVAL_MS, signal);
  await watch.run(signal);
}

function makeSubjects(
  { store, book, clock }: PolicyStatusParts,
  watch: EnforcementWatch,
): () => readonly StatusSubject[] {
  const now = (): string => formatTime(clock.wallMs());
  const counter = new SelectedPods(store, watch);
  return () => {
    const counts = counter.counts();
    const policies = [
      ...store.serviceAccountPolicies.values(),
      ...store.meshPolicies.values(),
      ...store.clusterNetworkPolicies.values(),
    ];
    return policies.flatMap((policy) => {
      const target = book.of(policy);
      if (target === undefined) return [];
      const key = `${policy.kind} ${keyOf(policy)}`;
      const problems = store.problems.get(key) ?? [];
      const judged = judgePolicy({ ...policy, problems, answers: watch.answers });
      const selectedPods = counts.get(key);
      const verdict: PolicyVerdict =
        selectedPods === undefined ? judged : { ...judged, selectedPods };
      const next = policy.kind === "ClusterNetworkPolicy" ? nextSharedStatus : nextPolicyStatus;
      return [{ key, target, verdict, next: (status) => next(status, verdict, now()) }];
    });
  };
}

/** How many pods each ServiceAccountPolicy selects. */
class SelectedPods {
  readonly #store: KubeStore;
  readonly #watch: EnforcementWatch;
  #counts: ReadonlyMap<string, number> = new Map();
  #at: readonly unknown[] = [];

  constructor(store: KubeStore, watch: EnforcementWatch) {
    this.#store = store;
    this.#watch = watch;
  }

  /** Anew after each round and each change of policies: of everything at once it costs too much. */
  counts(): ReadonlyMap<string, number> {
    const store = this.#store;
    const at = [this.#watch.answers, store.revisionOf("ServiceAccountPolicy")];
    if (at.every((part, i) => part === this.#at[i])) return this.#counts;
    this.#at = at;
    const subject = [...store.pods.values()].filter((pod) => !pod.hostNetwork && !pod.isOver);
    const pods = Map.groupBy(subject, ({ namespace }) => namespace);
    this.#counts = new Map(
      Array.from(store.serviceAccountPolicies.values(), (policy) => {
        const name = `${policy.kind} ${keyOf(policy)}`;
        const { subject: query } = policyOfServiceAccountPolicy(policy);
        const own = pods.get(policy.namespace) ?? [];
        return [name, own.filter((pod) => selectsInNamespace(query, pod)).length];
      }),
    );
    return this.#counts;
  }
}

/** The address of each node's agent; undefined for a node without one. */
function agentsOf({ nodes, pods }: KubeStore): ReadonlyMap<string, string | undefined> {
  const withAgent = new Set(
    Iterator.from(pods.values())
      .filter(isNodeAgent)
      .map(({ nodeName }) => nodeName),
  );
  return new Map(
    Array.from(nodes.values(), ({ name, addresses }) => {
      const internal = addresses.find(({ type }) => type === "InternalIP")?.address;
      return [name, withAgent.has(name) ? internal : undefined];
    }),
  );
}

function revisionOf(store: KubeStore): number {
  return KINDS.reduce((sum, kind) => sum + store.revisionOf(kind), 0);
}
