// What follows from a sync beside the rules: metrics, health, the Services' health check ports,
// conntrack clean-up, and news for those who wrote a Service that cannot be served. Nothing here
// can fail a sync.

import type { Clock } from "../../lib/clock/clock.ts";
import type { IpFamily } from "../../lib/kube/api/service.ts";
import type { KubeStore, Problem } from "../../lib/kube/store.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { NodeMetrics } from "../../lib/metrics/node-metrics.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import {
  type HealthVerdict,
  judgeHealth,
  type Moment,
  noteQueued,
  noteSynced,
  type ProxyHealth,
  startingHealth,
} from "../model/proxy-health.ts";
import { gatherUdpTargets, type UdpTargets } from "../model/udp-targets.ts";
import type { FamilyPlan } from "../plan/family-plan.ts";
import type { NodePlan } from "../plan/node-plan.ts";
import { recoveredUdpTargets } from "../plan/recovered-targets.ts";
import { IP_FAMILY } from "../plan/service-plan.ts";
import type { ConntrackCleaner } from "./conntrack-cleaner.ts";
import { serviceHealthFailed, serviceProblem, serviceReference } from "./event-reports.ts";
import type { EventSink } from "./events.ts";
import { type ServiceHealthCheck, ServiceHealthServers } from "./service-health.ts";
import type { SyncObserver, SyncOutcome } from "./sync-loop.ts";

export interface SyncObserverParts {
  readonly store: KubeStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: NodeMetrics;
  readonly events: EventSink;
  readonly makeConntrackCleaner: (previous: UdpTargets) => ConntrackCleaner;
  readonly hostAddresses: () => readonly string[];
  readonly families: readonly Family[];
  readonly nodeName: string;
  /** How long a change may wait before the node counts as unhealthy. */
  readonly unhealthyAfterMs: number;
  /** Called once, after the first sync that succeeded. */
  readonly onFirstSync: () => void;
}

/** Watches the sync loop. */
export class NodeObserver implements SyncObserver {
  readonly #parts: SyncObserverParts;
  readonly #serviceHealth: ReadonlyMap<Family, ServiceHealthServers>;
  /** By slice: the trigger times that have been counted as programmed. */
  readonly #programmed = new Map<string, number>();
  readonly #startedWallMs: number;
  #health: ProxyHealth;
  #queuedAt: Moment | undefined;
  #conntrack: ConntrackCleaner | undefined;
  #udpVersion = -1;
  #reported = "";
  #first = true;
  #healthWork: Promise<unknown> = Promise.resolve();

  constructor(parts: SyncObserverParts) {
    this.#parts = parts;
    this.#health = startingHealth(parts.families.map((family) => IP_FAMILY[family]));
    this.#startedWallMs = parts.clock.wallMs();
    const makeServers = (): ServiceHealthServers =>
      new ServiceHealthServers(() => this.verdict().healthy);
    this.#serviceHealth = new Map(parts.families.map((family) => [family, makeServers()]));
  }

  verdict(): HealthVerdict {
    const { unhealthyAfterMs: timeoutMs } = this.#parts;
    return judgeHealth(this.#health, { now: this.#now(), timeoutMs });
  }

  recovered(tables: ReadonlyMap<Family, TableContents>): void {
    this.#conntrack = this.#parts.makeConntrackCleaner(recoveredUdpTargets(tables.values()));
  }

  queued(): void {
    // What comes before the lists are whole is not waited for: nothing could be programmed yet.
    if (!this.#parts.store.synced) return;
    const now = this.#now();
    this.#queuedAt ??= now;
    for (const ip_family of this.#labels()) {
      this.#health = noteQueued(this.#health, ip_family, now);
      this.#parts.metrics.lastQueuedTime.set(now.wallMs / 1000, { ip_family });
    }
  }

  started(plan: NodePlan): void {
    this.#queuedAt = undefined;
    const targets = this.#udpTargets(plan);
    if (targets !== undefined) this.#conntrack?.expect(targets);
  }

  synced(outcome: SyncOutcome): void {
    const { metrics } = this.#parts;
    const now = this.#now();
    for (const ip_family of this.#labels()) {
      const queuedAt = this.#queuedAt === undefined ? {} : { queuedAt: this.#queuedAt };
      this.#health = noteSynced(this.#health, ip_family, { now, ...queuedAt });
      const labels = { ip_family };
      const seconds = outcome.durationMs / 1000;
      metrics.syncDuration.observe(seconds, labels);
      if (outcome.report.kind === "full") metrics.fullSyncDuration.observe(seconds, labels);
      if (outcome.report.kind === "partial") metrics.partialSyncDuration.observe(seconds, labels);
      metrics.lastSyncTime.set(now.wallMs / 1000, labels);
      metrics.nftOperations.add(outcome.report.elements, labels);
    }
    this.#measure(outcome.plan);
    this.#countProgramming(outcome);
    this.#cleanConntrack(outcome.plan);
    this.#openHealthPorts(outcome.plan);
    this.#tellProblems(outcome.plan);
    if (this.#first) this.#parts.onFirstSync();
    this.#first = false;
  }

  failed(): void {
    for (const ip_family of this.#labels()) {
      this.#parts.metrics.nftSyncFailures.add(1, { ip_family });
    }
  }

  audited(result: "clean" | "repaired" | "failed"): void {
    for (const ip_family of this.#labels()) {
      this.#parts.metrics.audits.add(1, { ip_family, result });
    }
  }

  /** Ends conntrack clean-up and closes the health check ports. */
  async close(): Promise<void> {
    await this.#conntrack?.close();
    await this.#healthWork;
    for (const servers of this.#serviceHealth.values()) await servers.apply([], []);
  }

  #labels(): readonly IpFamily[] {
    return this.#parts.families.map((family) => IP_FAMILY[family]);
  }

  #now(): Moment {
    const { clock } = this.#parts;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }

  #measure(plan: NodePlan): void {
    const { metrics, store } = this.#parts;
    metrics.sourceSynced.set(store.synced ? 1 : 0);
    metrics.objects.set(store.services.size, { kind: "Service" });
    metrics.objects.set(store.nodes.size, { kind: "Node" });
    for (const family of plan.families) {
      const ip_family = IP_FAMILY[family.options.family];
      let elements = 0;
      for (const set of family.ledger.wanted.values()) elements += set.size;
      metrics.nftElements.set(elements, { ip_family });
      const { noLocalInternal, noLocalExternal } = family.totals;
      metrics.noLocalEndpoints.set(noLocalInternal, { ip_family, traffic_policy: "internal" });
      metrics.noLocalEndpoints.set(noLocalExternal, { ip_family, traffic_policy: "external" });
    }
  }

  /** From the change of an endpoint, by the control plane's clock, to its rules. */
  #countProgramming({ changes }: SyncOutcome): void {
    const { metrics, store, clock } = this.#parts;
    metrics.serviceChanges.add(changes.serviceEvents);
    metrics.endpointChanges.add(changes.sliceEvents);
    metrics.serviceChangesPending.set(0);
    metrics.endpointChangesPending.set(0);
    for (const key of changes.services) {
      for (const slice of store.slicesOf(key).values()) {
        const at = slice.lastChangeTriggerMs;
        if (at === undefined) continue;
        const name = `${slice.namespace}/${slice.name}`;
        const counted = this.#programmed.get(name) ?? this.#startedWallMs;
        if (at <= counted) continue;
        this.#programmed.set(name, at);
        const seconds = Math.max(0, clock.wallMs() - at) / 1000;
        metrics.networkProgrammingDuration.observe(seconds, { ip_family: slice.addressType });
      }
    }
  }

  #udpTargets(plan: NodePlan): UdpTargets | undefined {
    const version = plan.families.reduce((sum, family) => sum + family.udpVersion, 0);
    if (version === this.#udpVersion) return undefined;
    const ports = plan.families.flatMap((family) => [...family.udpPorts()]);
    const hosts = this.#parts.hostAddresses();
    const addresses = plan.families.flatMap((family) => family.nodePortAddresses ?? hosts);
    return gatherUdpTargets(ports, addresses);
  }

  #cleanConntrack(plan: NodePlan): void {
    const targets = this.#udpTargets(plan);
    if (targets === undefined) return;
    this.#udpVersion = plan.families.reduce((sum, family) => sum + family.udpVersion, 0);
    this.#conntrack?.request(targets);
  }

  #openHealthPorts(plan: NodePlan): void {
    this.#healthWork = this.#healthWork.then(async () => {
      let listeners = 0;
      for (const family of plan.families) {
        const servers = this.#serviceHealth.get(family.options.family);
        if (servers === undefined) continue;
        const any = family.options.family === "ip" ? "0.0.0.0" : "::";
        const addresses = family.nodePortAddresses ?? [any];
        const problems = await servers.apply(this.#healthChecks(family), addresses);
        listeners += servers.listenerCount;
        for (const { namespace, name, message } of problems) {
          this.#healthPortFailed(`${namespace}/${name}`, message);
        }
      }
      this.#parts.metrics.serviceHealthListeners.set(listeners);
    });
  }

  #healthChecks(family: FamilyPlan): ServiceHealthCheck[] {
    const checks: ServiceHealthCheck[] = [];
    for (const key of family.healthChecked) {
      const service = this.#parts.store.services.get(key);
      if (service === undefined) continue;
      const { namespace, name, healthCheckNodePort: port } = service;
      const localEndpoints = family.services.get(key)?.plan.localReady.length ?? 0;
      checks.push({ namespace, name, port, localEndpoints });
    }
    return checks;
  }

  #healthPortFailed(key: string, message: string): void {
    const { events, store, log, nodeName } = this.#parts;
    const service = store.services.get(key);
    if (service === undefined) return;
    log.warn("cannot open a health check port", { service: key, message });
    events.report(serviceHealthFailed(serviceReference(service), nodeName, message));
  }

  #tellProblems(plan: NodePlan): void {
    const { log, events, metrics, store } = this.#parts;
    const problems: Problem[] = [...plan.problems(), ...[...store.problems.values()].flat()];
    metrics.objectProblems.set(problems.length);
    const text = JSON.stringify(problems);
    if (text === this.#reported) return;
    this.#reported = text;
    for (const problem of problems) {
      log.warn(`${problem.object}: ${problem.message}`, { field: problem.field });
      const key = problem.object.replace(/^Service /, "");
      const service = store.services.get(key);
      if (service !== undefined) events.report(serviceProblem(serviceReference(service), problem));
    }
  }
}
