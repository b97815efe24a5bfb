// Kubernetes Events: what an operator sees under `kubectl describe`. They are a courtesy, so they
// never block, never throw, and give way: repeated ones and floods are dropped and counted.

import type { Clock } from "../../lib/clock/clock.ts";
import { DedupeWindow, TokenBucket } from "./event-limits.ts";

export interface ObjectReference {
  /** `v1`, or with the group: `networking.k8s.io/v1`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Missing for cluster-scoped kinds. */
  readonly namespace?: string;
  readonly uid?: string;
}

export interface EventReport {
  readonly regarding: ObjectReference;
  readonly type: "Normal" | "Warning";
  /** CamelCase, why: `FailedToStartServiceHealthcheck`. */
  readonly reason: string;
  /** CamelCase, what was being done: `Listen`. */
  readonly action: string;
  /** For people; cut at 1 kB. */
  readonly note: string;
}

/** events.k8s.io/v1 Event, as far as a new one needs. */
export interface KubeEvent {
  readonly apiVersion: "events.k8s.io/v1";
  readonly kind: "Event";
  readonly metadata: { readonly name: string; readonly namespace: string };
  /** RFC 3339 with microseconds. */
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly regarding: ObjectReference;
}

export type DropReason = "repeated" | "rate-limit" | "queue-full" | "refused";

export interface EventSinkOptions {
  readonly nodeName: string;
  /** Writes one event to the API server; rejects when it did not get there. */
  readonly createEvent: (event: KubeEvent) => Promise<void>;
  readonly clock: Clock;
  /** In [0, 1): makes names unique across restarts. */
  readonly random: () => number;
  readonly signal: AbortSignal;
  readonly onDropped?: (reason: DropReason) => void;
}

export interface EventSink {
  /** Returns at once. */
  report(event: EventReport): void;
}

const CONTROLLER = "innermesh.io/node";
const QUEUE_LIMIT = 100;
const RATE = { burst: 25, perMs: 10_000 };
/** The same news about the same object is told once in this time. */
const REPEAT = { windowMs: 600_000, limit: 1_000 };
const TRIES = 3;
const RETRY_MS = 10_000;
/** Limits of the API: events.k8s.io/v1 note; names of all objects. */
const NOTE_LIMIT_BYTES = 1_024;
const NAME_LIMIT = 253;

/** Writes events one at a time in the background until `signal` aborts. */
export function makeEventSink(options: EventSinkOptions): EventSink {
  const { clock, signal, nodeName } = options;
  const bucket = new TokenBucket(RATE, clock.monotonicMs());
  const recent = new DedupeWindow(REPEAT);
  const queue: KubeEvent[] = [];
  const session = Math.floor(options.random() * 2 ** 32);
  let sequence = 0;
  let draining = false;
  const drop = (reason: DropReason): void => options.onDropped?.(reason);
  const drain = async (): Promise<void> => {
    for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
      if (!(await deliver(event, options)) && !signal.aborted) drop("refused");
    }
    draining = false;
  };
  return {
    report(report) {
      if (signal.aborted) return;
      const nowMs = clock.monotonicMs();
      if (!recent.admit(keyOf(report), nowMs)) return drop("repeated");
      if (!bucket.take(nowMs)) return drop("rate-limit");
      if (queue.length >= QUEUE_LIMIT) return drop("queue-full");
      const suffix = `${session.toString(16)}.${(sequence++).toString(16)}`;
      queue.push(buildEvent(report, { nodeName, suffix, wallMs: clock.wallMs() }));
      if (draining) return;
      draining = true;
      void drain();
    },
  };
}

/** The object to write. Its namespace is the subject's, or `default` for a Node. */
export function buildEvent(
  report: EventReport,
  by: { readonly nodeName: string; readonly suffix: string; readonly wallMs: number },
): KubeEvent {
  const { regarding, type, reason, action, note } = report;
  const name = `${regarding.name.slice(0, NAME_LIMIT - by.suffix.length - 1)}.${by.suffix}`;
  return {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: { name, namespace: regarding.namespace ?? "default" },
    eventTime: new Date(by.wallMs).toISOString().replace("Z", "000Z"),
    reportingController: CONTROLLER,
    reportingInstance: by.nodeName,
    type,
    reason,
    action,
    note: cutBytes(note, NOTE_LIMIT_BYTES),
    regarding,
  };
}

async function deliver(event: KubeEvent, options: EventSinkOptions): Promise<boolean> {
  const { clock, signal } = options;
  for (let attempt = 0; attempt < TRIES && !signal.aborted; attempt++) {
    if (attempt > 0) await clock.sleep(RETRY_MS, signal);
    try {
      await options.createEvent(event);
      return true;
    } catch {
      // Not even logged: an unreachable API server is told by the source, once.
    }
  }
  return false;
}

function keyOf({ regarding, reason, note }: EventReport): string {
  return JSON.stringify([regarding.kind, regarding.namespace, regarding.name, reason, note]);
}

function cutBytes(text: string, limit: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= limit) return text;
  // A streaming decoder keeps an incomplete last character back instead of garbling it.
  return new TextDecoder().decode(bytes.subarray(0, limit), { stream: true });
}
