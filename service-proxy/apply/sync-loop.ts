// The one loop that turns changes into kernel state: wait, plan, apply, report. Events only mark;
// this loop acts at its own pace. On failure the last good rules stay and it tries again.

import type { Clock } from "../../lib/clock/clock.ts";
import { type RetryBounds, retryDelayMs } from "../../lib/clock/retry-delay.ts";
import type { KubeStore, StoreChanges } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import type { TableSettings } from "../plan/family-facts.ts";
import { NodePlan } from "../plan/node-plan.ts";
import type { LaneApply } from "./lane-apply.ts";
import type { NftApply, SyncReport } from "./nft-apply.ts";
import type { Succession } from "./succession.ts";

export interface SyncLoopOptions {
  readonly settings: TableSettings;
  /** Families the kernel has. */
  readonly families: readonly Family[];
  /** Between the end of one sync and the start of the next. */
  readonly minSyncPeriodMs: number;
  /** Between looks at the kernel for drift; 0 is never. */
  readonly auditPeriodMs: number;
  /** Between comparisons of everything, whatever the generation says. */
  readonly fullAuditPeriodMs: number;
}

export interface SyncLoopParts {
  readonly store: KubeStore;
  readonly apply: NftApply;
  readonly lanes: Pick<LaneApply, "prepare" | "release">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly hostAddresses: () => readonly string[];
  /** Registers for changes of `hostAddresses` and `otherNodes`. */
  readonly onHostChange: (listener: () => void) => () => void;
  /** Resolves when `otherNodes` is known, or will not be soon. */
  readonly ready: Promise<void>;
  /** Addresses of the cluster's other nodes, as far as they are known. */
  readonly otherNodes: () => readonly string[];
  readonly observer: SyncObserver;
  /** Whoever else serves this node writes the same tables. */
  readonly succession: Pick<Succession, "isHeld" | "takeOver">;
}

/** Who wants to know how syncing goes; metrics, health, conntrack and status hang on it. */
export interface SyncObserver {
  /** What an earlier run left in the kernel; called once, before anything else is. */
  recovered(tables: ReadonlyMap<Family, TableContents>): void;
  /** A change waits to be applied since now. */
  queued(): void;
  /** A sync of what was queued starts. */
  started(plan: NodePlan): void;
  synced(outcome: SyncOutcome): void;
  failed(error: unknown): void;
  audited(result: "clean" | "repaired" | "failed"): void;
}

export interface SyncOutcome {
  readonly plan: NodePlan;
  readonly report: SyncReport;
  readonly changes: StoreChanges;
  readonly durationMs: number;
  readonly finishedAtMs: number;
}

const RETRY: RetryBounds = { minMs: 100, maxMs: 30_000 };
/** So much of the time in which elements were not looked at may be made up for at once. */
const AUDIT_CREDIT_MS = 60_000;
const NOTHING: StoreChanges = {
  services: new Set(),
  node: false,
  serviceCidrs: false,
  namespaces: false,
  pods: false,
  routes: false,
  serviceEvents: 0,
  sliceEvents: 0,
};

/** Runs until `signal` aborts. Rules stay in the kernel then: connections outlive the agent. */
export async function runSyncLoop(
  options: SyncLoopOptions,
  parts: SyncLoopParts,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, observer, succession } = parts;
  const dirty = new Flag(signal);
  const mark = (): void => {
    dirty.raise();
    observer.queued();
  };
  const stops = [store.onChange(mark), parts.onHostChange(mark)];
  try {
    // Reads the kernel while the lists come in. What is written there meanwhile shows later.
    const recovering = succession.isHeld ? recover(options, parts, signal) : undefined;
    // Old rules stay until every list is whole: a partial list would withdraw good rules.
    while (!store.synced && !signal.aborted) await dirty.wait();
    await parts.ready;
    // Late: until here an agent that serves already goes on, whatever becomes of this one.
    await succession.takeOver();
    const recovered = await (recovering ?? recover(options, parts, signal));
    if (recovered === undefined) return;
    observer.recovered(recovered);
    let changes = store.takeChanges();
    const { families } = options;
    const hosts = parts.hostAddresses();
    const otherNodes = parts.otherNodes();
    const plan = new NodePlan(options.settings, store, hosts, recovered, { families, otherNodes });
    const auditor = new Auditor(options, parts);
    for (let failures = 0; !signal.aborted; ) {
      dirty.lower();
      if (await applied(plan, changes, parts)) {
        failures = 0;
        changes = NOTHING;
        await clock.sleep(options.minSyncPeriodMs, signal);
        await auditor.runIfDue(plan);
        while (!dirty.raised && !signal.aborted) {
          await dirty.wait(auditor.dueInMs(), clock);
          await auditor.runIfDue(plan);
        }
      } else {
        await clock.sleep(retryDelayMs(RETRY, failures++, parts.random()), signal);
      }
      const fresh = store.takeChanges();
      plan.update(store, fresh, parts.hostAddresses(), parts.otherNodes());
      changes = merge(changes, fresh);
    }
  } finally {
    for (const stop of stops) stop();
  }
}

async function applied(
  plan: NodePlan,
  changes: StoreChanges,
  { apply, lanes, clock, observer, log }: SyncLoopParts,
): Promise<boolean> {
  const startMs = clock.monotonicMs();
  observer.started(plan);
  try {
    await lanes.prepare(plan);
    const report = await apply.sync(plan.families);
    lanes.release();
    const finishedAtMs = clock.monotonicMs();
    observer.synced({ plan, report, changes, durationMs: finishedAtMs - startMs, finishedAtMs });
    return true;
  } catch (error) {
    observer.failed(error);
    log.error("sync failed; the rules of before stay", { error: String(error) });
    return false;
  }
}

/** Reads what an earlier run left, however often it takes; undefined when `signal` aborts first. */
async function recover(
  { families }: SyncLoopOptions,
  { apply, clock, random, log }: SyncLoopParts,
  signal: AbortSignal,
): Promise<ReadonlyMap<Family, TableContents> | undefined> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const recovered = new Map<Family, TableContents>();
      for (const family of families) {
        const contents = await apply.recover(family);
        if (contents !== undefined) recovered.set(family, contents);
      }
      if (recovered.size > 0) log.info("took over the table of an earlier run", {});
      return recovered;
    } catch (error) {
      log.error("cannot read the table of an earlier run; it stays", { error: String(error) });
      await clock.sleep(retryDelayMs(RETRY, failures, random()), signal);
    }
  }
  return undefined;
}

/** Looks for drift from time to time. */
class Auditor {
  readonly #options: SyncLoopOptions;
  readonly #parts: SyncLoopParts;
  #nextMs: number;
  #nextElementsMs = Number.NEGATIVE_INFINITY;
  #nextFullMs: number;

  constructor(options: SyncLoopOptions, parts: SyncLoopParts) {
    this.#options = options;
    this.#parts = parts;
    this.#nextMs = parts.clock.monotonicMs() + options.auditPeriodMs;
    this.#nextFullMs = parts.clock.monotonicMs() + options.fullAuditPeriodMs;
  }

  /** Undefined when audits are off. */
  dueInMs(): number | undefined {
    if (this.#options.auditPeriodMs === 0) return undefined;
    return Math.max(0, this.#nextMs - this.#parts.clock.monotonicMs());
  }

  /**
   * Looks at elements less often where others write tables of their own all the time, so that
   * looking never rests: in the long run at most a twentieth of the time goes there.
   */
  async runIfDue(plan: NodePlan): Promise<void> {
    const { auditPeriodMs, fullAuditPeriodMs } = this.#options;
    const { clock } = this.#parts;
    const startMs = clock.monotonicMs();
    if (auditPeriodMs === 0 || startMs < this.#nextMs) return;
    const isFull = startMs >= this.#nextFullMs;
    const depth = isFull ? "everything" : startMs >= this.#nextElementsMs ? "elements" : "rules";
    const result = await this.#audit(plan, depth);
    const endMs = clock.monotonicMs();
    this.#nextMs = endMs + auditPeriodMs;
    if (result === "clean" && depth !== "rules") {
      const savedSince = Math.max(this.#nextElementsMs, startMs - AUDIT_CREDIT_MS);
      this.#nextElementsMs = savedSince + 20 * (endMs - startMs);
    }
    if (isFull) this.#nextFullMs = endMs + fullAuditPeriodMs;
  }

  async #audit(
    plan: NodePlan,
    depth: Parameters<NftApply["audit"]>[1],
  ): Promise<"clean" | "repaired" | "failed"> {
    const { apply, observer, log } = this.#parts;
    let result: "clean" | "repaired" | "failed" = "clean";
    try {
      const { drift } = await apply.audit(plan.families, depth);
      if (drift.length > 0) {
        result = "repaired";
        log.warn("somebody changed our table; repaired", { drift });
      }
    } catch (error) {
      result = "failed";
      log.error("audit failed", { error: String(error) });
    }
    observer.audited(result);
    return result;
  }
}

/** A mark that waits to be seen. */
class Flag {
  raised = false;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  raise(): void {
    this.raised = true;
    this.#wake?.();
  }

  lower(): void {
    this.raised = false;
  }

  /** Resolves at the next raise or abort, or after `durationMs` when that is given. */
  async wait(durationMs?: number, clock?: Clock): Promise<void> {
    if (this.#signal.aborted) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (durationMs === undefined || clock === undefined) return woken;
    const timer = new AbortController();
    await Promise.race([woken, clock.sleep(durationMs, timer.signal)]);
    timer.abort();
  }
}

function merge(a: StoreChanges, b: StoreChanges): StoreChanges {
  return {
    services: new Set([...a.services, ...b.services]),
    node: a.node || b.node,
    serviceCidrs: a.serviceCidrs || b.serviceCidrs,
    namespaces: a.namespaces || b.namespaces,
    pods: a.pods || b.pods,
    routes: a.routes || b.routes,
    serviceEvents: a.serviceEvents + b.serviceEvents,
    sliceEvents: a.sliceEvents + b.sliceEvents,
  };
}
