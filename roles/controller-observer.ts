// What the controller tells of itself: series, log lines, and the Event of a change of leader.

import { systemClock } from "../lib/clock/system-clock.ts";
import { formatMicroTime } from "../lib/kube/api/lease.ts";
import type { AnswerReport, KubeClient } from "../lib/kube/client.ts";
import type { ElectionEvent } from "../lib/kube/lease.ts";
import type { KubeStore } from "../lib/kube/store.ts";
import type { WatchReport } from "../lib/kube/watch-report.ts";
import type { Logger } from "../lib/log/logger.ts";
import type { ControllerMetrics } from "../lib/metrics/controller-metrics.ts";
import type { RouteStatusEvent } from "../service-proxy/apply/route-status.ts";

interface Parts {
  readonly store: KubeStore;
  readonly metrics: ControllerMetrics;
  readonly log: Logger;
  /** Name of the lease. */
  readonly lease: string;
}

interface Candidate {
  readonly client: Pick<KubeClient, "create">;
  readonly namespace: string;
  readonly identity: string;
  readonly signal: AbortSignal;
}

export class ControllerObserver {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    parts.metrics.leader.set(0, { name: parts.lease });
  }

  answered({ method, code, durationMs }: AnswerReport, host: string): void {
    const { metrics } = this.#parts;
    metrics.clientRequests.add(1, { code, method, host });
    metrics.clientRequestDuration.observe(durationMs / 1000, { verb: method, host });
  }

  watched({ resource, kind, why }: WatchReport): void {
    const { store, metrics, log } = this.#parts;
    metrics.sourceSynced.set(store.synced ? 1 : 0);
    metrics.objectProblems.set(store.problems.size);
    if (kind === "failed") {
      log.warn("watch failed; what is known stays in force", { kind: resource, why });
      metrics.sourceRelists.add(1, { kind: resource, reason: "failed" });
      return;
    }
    if (kind === "absent") log.debug("not there yet", { kind: resource, why });
    metrics.sourceEventTime.set(systemClock.wallMs() / 1000, { kind: resource });
  }

  /** What to call at every turn of this candidate's election. */
  elected(candidate: Candidate): (event: ElectionEvent) => void {
    const { metrics, log, lease } = this.#parts;
    return (event) => {
      if (event.kind !== "following") metrics.elections.add(1, { event: event.kind });
      if (event.kind !== "failed" && event.kind !== "following") {
        metrics.leader.set(event.kind === "leading" ? 1 : 0, { name: lease });
      }
      const { kind, ...fields } = event;
      if (kind === "failed") return log.warn("cannot use the lease", fields);
      log.info(kind, { lease, ...fields });
      if (kind === "leading") void tellLeader(candidate, lease);
    };
  }

  status(event: RouteStatusEvent, queue: "status" | "policy-status"): void {
    const { metrics, log } = this.#parts;
    if (event.kind === "judged") return metrics.planDuration.observe(event.durationMs / 1000);
    if (event.kind === "depth") return metrics.queueDepth.set(event.depth, { name: queue });
    const { kind, key } = event;
    const [objectKind = ""] = key.split(" ");
    metrics.statuses.add(1, { kind: objectKind, result: kind });
    if (kind === "failed") {
      log.warn("cannot write a status; it is tried again", { object: key, error: event.error });
    } else if (kind !== "unchanged") {
      log.debug("status", { object: key, result: kind });
    }
  }
}

/** An Event beside the lease. A courtesy: what becomes of it is of no consequence. */
async function tellLeader(
  { client, namespace, identity, signal }: Candidate,
  lease: string,
): Promise<void> {
  const nowMs = systemClock.wallMs();
  const event = {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name: `${lease}.${nowMs.toString(16)}`, namespace },
    eventTime: formatMicroTime(nowMs),
    reportingController: "innermesh.io/controller",
    reportingInstance: identity,
    type: "Normal",
    reason: "LeaderElection",
    action: "Lead",
    note: `${identity} became leader`,
    regarding: {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      name: lease,
      namespace,
    },
  };
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  await client.create(path, event, { signal }).catch(() => undefined);
}
