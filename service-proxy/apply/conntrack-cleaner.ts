// Removes stale UDP flows, off the sync path. Level-triggered: a request only replaces the wanted
// targets and marks them dirty; one loop walks the table at its own pace. Walking a big table
// takes a second and targets may move meanwhile, so each flow is judged by the newest ones.

import type { Clock } from "../../lib/clock/clock.ts";
import type { AddressFamily } from "../../lib/ip/address.ts";
import type { ConntrackEntry } from "../../lib/netlink/conntrack-entry.ts";
import type { ConntrackTable } from "../../lib/netlink/conntrack-table.ts";
import {
  nothingRetired,
  noUdpTargets,
  type RetiredTargets,
  retireTargets,
  sameUdpTargets,
  type UdpTargets,
} from "../model/udp-targets.ts";
import { staleReason } from "../plan/conntrack-cleanup.ts";

const firstRetryMs = 1_000;
const longestRetryMs = 30_000;

/** One walk over the flows of one family. */
export interface CleanupReport {
  readonly family: AddressFamily;
  readonly listed: number;
  readonly removed: number;
  readonly durationMs: number;
}

export interface ConntrackCleanerOptions {
  /** Stays open: its owner closes it after the cleaner. */
  readonly table: ConntrackTable;
  readonly clock: Clock;
  /** From the end of one run to the start of the next. */
  readonly minimumIntervalMs: number;
  readonly onDone: (report: CleanupReport) => void;
  /** The run is repeated after `retryMs`; nothing is lost. */
  readonly onError: (error: unknown, retryMs: number) => void;
  /** What an earlier process served, as read back from the kernel. */
  readonly previous?: UdpTargets;
}

export interface ConntrackCleaner {
  /**
   * Announces targets that are about to be programmed. A flow may reach a new endpoint before
   * `request` says so; from here on it is spared.
   */
  expect(targets: UdpTargets): void;
  /** Says what is programmed now. Starts a run unless nothing changed since the last one. */
  request(targets: UdpTargets): void;
  /** Stops within one slice of work and resolves when nothing runs any more. */
  close(): Promise<void>;
}

export function makeConntrackCleaner(options: ConntrackCleanerOptions): ConntrackCleaner {
  return new Cleaner(options);
}

class Cleaner implements ConntrackCleaner {
  readonly #options: ConntrackCleanerOptions;
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #wake: (() => void) | undefined;
  #requested = false;
  #dirty = false;
  #targets: UdpTargets;
  #expected: UdpTargets | undefined;
  #retired: RetiredTargets = nothingRetired;
  /** The part of `#retired` that came during this run, so flows may have been passed by. */
  #retiredInRun: RetiredTargets = nothingRetired;

  constructor(options: ConntrackCleanerOptions) {
    this.#options = options;
    this.#targets = options.previous ?? noUdpTargets;
    this.#loop = this.#run();
  }

  expect(targets: UdpTargets): void {
    this.#expected = targets;
  }

  request(targets: UdpTargets): void {
    this.#expected = undefined;
    const changed = !this.#requested || !sameUdpTargets(this.#targets, targets);
    this.#retired = retireTargets(this.#targets, targets, this.#retired);
    this.#retiredInRun = retireTargets(this.#targets, targets, this.#retiredInRun);
    this.#targets = targets;
    this.#requested = true;
    if (!changed) return;
    this.#dirty = true;
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, minimumIntervalMs, onError } = this.#options;
    const { signal } = this.#stop;
    let retryMs = firstRetryMs;
    for (;;) {
      await this.#untilDirty();
      if (signal.aborted) return;
      this.#dirty = false;
      try {
        await this.#cleanUp();
        retryMs = firstRetryMs;
        await clock.sleep(minimumIntervalMs, signal);
      } catch (error) {
        this.#dirty = true;
        onError(error, retryMs);
        await clock.sleep(retryMs, signal);
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  async #untilDirty(): Promise<void> {
    if (this.#dirty || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  async #cleanUp(): Promise<void> {
    const { clock, onDone } = this.#options;
    this.#retiredInRun = nothingRetired;
    for (const family of ["ip", "ip6"] as const) {
      const startMs = clock.monotonicMs();
      const { listed, removed } = await this.#cleanUpFamily(family);
      if (this.#stop.signal.aborted) return;
      onDone({ family, listed, removed, durationMs: clock.monotonicMs() - startMs });
    }
    this.#retired = this.#retiredInRun;
  }

  async #cleanUpFamily(family: AddressFamily): Promise<{ listed: number; removed: number }> {
    const { table } = this.#options;
    let listed = 0;
    let removed = 0;
    if (!this.#hasWork()) return { listed, removed };
    for await (const entries of table.list(family)) {
      listed += entries.length;
      for (const entry of entries) {
        if (this.#stop.signal.aborted) return { listed, removed };
        if (this.#isStale(entry) && (await table.remove(entry)) === "removed") removed++;
      }
    }
    return { listed, removed };
  }

  /** False where no UDP port is served or was: no flow can be stale. */
  #hasWork(): boolean {
    return [this.#targets, this.#retired].some(
      ({ addresses, nodePorts }) => addresses.size > 0 || nodePorts.size > 0,
    );
  }

  #isStale(entry: ConntrackEntry): boolean {
    if (staleReason(entry, this.#targets, this.#retired) === undefined) return false;
    const expected = this.#expected;
    return expected === undefined || staleReason(entry, expected, this.#retired) !== undefined;
  }
}
