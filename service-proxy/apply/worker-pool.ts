// Keeps proxy workers running and up to date: starts them when a Service first needs one, tells
// each what changes, replaces one that died or froze, drains them at the end. A worker's death
// costs its own connections only.

import type { Clock } from "../../lib/clock/clock.ts";
import { type RetryBounds, retryDelayMs } from "../../lib/clock/retry-delay.ts";
import type { Logger } from "../../lib/log/logger.ts";
import type { TapFilter, TappedRequest } from "../model/admin-protocol.ts";
import type { TelemetryMessage } from "../model/edge.ts";
import type { ProxyPlanDelta } from "../model/proxy-plan.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "../model/worker-messages.ts";

/** A worker, as the pool sees it. */
export interface WorkerHandle {
  readonly pid: number | undefined;
  tell(message: ToWorker): void;
  kill(): void;
}

export interface WorkerPoolParts {
  readonly count: number;
  readonly settings: WorkerSettings;
  readonly start: (listener: {
    onMessage(message: FromWorker): void;
    onExit(how: string): void;
  }) => WorkerHandle;
  /** The whole plan of the moment, for a worker that starts. */
  readonly wholePlan: () => ProxyPlanDelta;
  /** What the part that carries identities needs, whole. Missing where identities are off. */
  readonly wholeIdentity: () => unknown;
  /** `healthy` may have changed. */
  readonly onHealth: () => void;
  /** @param worker a number of its own for each process that was ever started */
  readonly onTelemetry: (worker: number, telemetry: TelemetryMessage) => void;
  readonly onIdentityTelemetry: (worker: number, telemetry: unknown) => void;
  readonly onTapped: (tap: number, request: TappedRequest) => void;
  /** It will say nothing more. */
  readonly onEnded: (worker: number) => void;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

interface Slot {
  readonly worker: number;
  /** Counts what it said of itself. */
  beats: number;
  handle: WorkerHandle | undefined;
  listening: boolean;
  readonly startedMs: number;
  heardMs: number;
  /** The last plan it has in force. */
  applied: number;
  /** Deaths since it last worked for a while. */
  deaths: number;
}

/** A worker that said nothing for so long is frozen; it beats every second. */
const FROZEN_AFTER_MS = 3_000;
const STARTS_WITHIN_MS = 10_000;
const WATCH_PERIOD_MS = 500;
/** The first one is replaced at once. */
const RESTART: RetryBounds = { minMs: 50, maxMs: 5_000 };
/** A worker that takes longer over a plan is left behind: the kernel's commit does not wait. */
const APPLIED_WITHIN_MS = 1_000;
const REPORT_WITHIN_MS = 500;
/** Beyond the time that a worker was given to drain. */
const DRAINED_WITHIN_MS = 5_000;
const CLOSED_WITHIN_MS = 1_000;
/** Having worked for so long, a death counts as the first again. */
const STEADY_AFTER_MS = 30_000;

export class WorkerPool {
  readonly #parts: WorkerPoolParts;
  readonly #slots: Slot[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #sequence = 0;
  #started = 0;
  #drainedMs = 0;
  readonly #taps = new Map<number, TapFilter>();
  readonly #waiting = new Set<AbortController>();

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts;
  }

  /** True while some worker has its doors open and is alive. */
  get healthy(): boolean {
    const now = this.#parts.clock.monotonicMs();
    return this.#slots.some((slot) => slot.listening && now - slot.heardMs < FROZEN_AFTER_MS);
  }

  /** How many take connections. */
  get listening(): number {
    return this.#slots.filter(({ listening }) => listening).length;
  }

  /** Starts the workers, unless they run. */
  start(): void {
    if (this.#running !== undefined) return;
    for (let i = 0; i < this.#parts.count; i++) this.#startSlot(i);
    this.#running = this.#watch();
  }

  /** Tells every worker what changed. Resolves when it is in force, or a second has passed. */
  update(delta: ProxyPlanDelta): Promise<void> {
    return this.#tellAll((sequence) => ({ kind: "plan", sequence, delta }));
  }

  /** The same for the part that carries identities. */
  updateIdentity(delta: unknown): Promise<void> {
    return this.#tellAll((sequence) => ({ kind: "identity", sequence, delta }));
  }

  async #tellAll(message: (sequence: number) => ToWorker): Promise<void> {
    const sequence = ++this.#sequence;
    for (const { handle } of this.#slots) handle?.tell(message(sequence));
    const isApplied = ({ listening, applied }: Slot): boolean => !listening || applied >= sequence;
    await this.#until(() => this.#slots.every(isApplied), APPLIED_WITHIN_MS);
  }

  /** Asks for what workers counted since their last beat; resolves when it came, or soon. */
  async refresh(): Promise<void> {
    const waiting = this.#slots.filter(({ listening }) => listening);
    const beats = waiting.map((slot) => slot.beats);
    for (const { handle } of waiting) handle?.tell({ kind: "report" });
    await this.#until(
      () => waiting.every((slot, i) => !slot.listening || slot.beats > (beats[i] ?? 0)),
      REPORT_WITHIN_MS,
    );
  }

  /** Workers show requests from now on, those that start later too. */
  tap(id: number, filter: TapFilter): void {
    this.#taps.set(id, filter);
    for (const { handle } of this.#slots) handle?.tell({ kind: "tap", id, filter });
  }

  untap(id: number): void {
    this.#taps.delete(id);
    for (const { handle } of this.#slots) handle?.tell({ kind: "untap", id });
  }

  /** Resolves when every worker has its doors open, or `limitMs` have passed. */
  async ready(limitMs: number): Promise<void> {
    await this.#until(() => this.#slots.every(({ listening }) => listening), limitMs);
  }

  /**
   * Lets every worker take no new connections after `acceptMs`, and end with its last one; what
   * runs after `limitMs` is ended.
   * @returns when all doors are closed
   */
  async drain(acceptMs: number, limitMs: number): Promise<void> {
    this.#stop.abort();
    this.#drainedMs = this.#parts.clock.monotonicMs() + limitMs + DRAINED_WITHIN_MS;
    for (const { handle } of this.#slots) handle?.tell({ kind: "drain", acceptMs, limitMs });
    const isClosed = ({ listening }: Slot): boolean => !listening;
    await this.#until(() => this.#slots.every(isClosed), acceptMs + CLOSED_WITHIN_MS);
  }

  /** Resolves when no worker runs any more, after `drain`. */
  async ended(): Promise<void> {
    await this.#running;
    const isGone = ({ handle }: Slot): boolean => handle === undefined;
    const leftMs = this.#drainedMs - this.#parts.clock.monotonicMs();
    await this.#until(() => this.#slots.every(isGone), leftMs);
    for (const { handle } of this.#slots) handle?.kill();
  }

  /** Looks again whenever a worker speaks or ends. */
  async #until(done: () => boolean, limitMs: number): Promise<void> {
    const { clock } = this.#parts;
    const endMs = clock.monotonicMs() + limitMs;
    while (!done()) {
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) return;
      const nap = new AbortController();
      this.#waiting.add(nap);
      await clock.sleep(leftMs, nap.signal);
      this.#waiting.delete(nap);
    }
  }

  #wake(): void {
    for (const nap of this.#waiting) nap.abort();
  }

  #startSlot(index: number): void {
    const { clock, settings, log } = this.#parts;
    const earlier = this.#slots[index];
    const slot: Slot = {
      worker: ++this.#started,
      beats: 0,
      handle: undefined,
      listening: false,
      startedMs: clock.monotonicMs(),
      heardMs: clock.monotonicMs(),
      applied: 0,
      deaths: earlier?.deaths ?? 0,
    };
    this.#slots[index] = slot;
    slot.handle = this.#parts.start({
      onMessage: (message) => this.#heard(slot, message),
      onExit: (how) => this.#ended(index, slot, how),
    });
    log.info("proxy worker starts", { worker: index, pid: slot.handle.pid });
    const { wholePlan, wholeIdentity } = this.#parts;
    const identity = wholeIdentity();
    slot.handle.tell({ kind: "start", settings, plan: wholePlan(), identity });
    for (const [id, filter] of this.#taps) slot.handle.tell({ kind: "tap", id, filter });
  }

  #heard(slot: Slot, message: FromWorker): void {
    const wasHealthy = this.healthy;
    slot.heardMs = this.#parts.clock.monotonicMs();
    this.#understood(slot, message);
    if (this.healthy !== wasHealthy) this.#parts.onHealth();
  }

  #understood(slot: Slot, message: FromWorker): void {
    switch (message.kind) {
      case "listening":
      case "closed":
        slot.listening = message.kind === "listening";
        return this.#wake();
      case "applied":
        slot.applied = message.sequence;
        return this.#wake();
      case "beat":
        slot.beats++;
        this.#wake();
        if (message.identity !== undefined) {
          this.#parts.onIdentityTelemetry(slot.worker, message.identity);
        }
        return this.#parts.onTelemetry(slot.worker, message.telemetry);
      case "tapped":
        return this.#parts.onTapped(message.id, message.request);
      default:
        return message satisfies never;
    }
  }

  #ended(index: number, slot: Slot, how: string): void {
    const { clock, log, random } = this.#parts;
    const livedMs = clock.monotonicMs() - slot.startedMs;
    slot.handle = undefined;
    slot.listening = false;
    this.#parts.onEnded(slot.worker);
    this.#parts.onHealth();
    this.#wake();
    if (this.#stop.signal.aborted) return;
    slot.deaths = livedMs > STEADY_AFTER_MS ? 0 : slot.deaths + 1;
    const delayMs = retryDelayMs(RESTART, slot.deaths - 1, random());
    log.error("proxy worker ended", { worker: index, how, restartMs: Math.round(delayMs) });
    void clock.sleep(delayMs, this.#stop.signal).then(() => {
      if (!this.#stop.signal.aborted) this.#startSlot(index);
    });
  }

  /** Ends workers that are frozen: their listeners would go on to collect connections. */
  async #watch(): Promise<void> {
    const { clock, log } = this.#parts;
    let lastMs = clock.monotonicMs();
    while (!this.#stop.signal.aborted) {
      await clock.sleep(WATCH_PERIOD_MS, this.#stop.signal);
      const now = clock.monotonicMs();
      // This process slept itself: what workers said meanwhile is still to be read.
      const wasAway = now - lastMs > 2 * WATCH_PERIOD_MS;
      lastMs = now;
      for (const [worker, slot] of this.#slots.entries()) {
        if (wasAway) slot.heardMs = now;
        const limitMs = slot.listening ? FROZEN_AFTER_MS : STARTS_WITHIN_MS;
        if (slot.handle === undefined || now - slot.heardMs < limitMs) continue;
        log.error("proxy worker is frozen: ending it", { worker, pid: slot.handle.pid });
        slot.handle.kill();
      }
    }
  }
}
