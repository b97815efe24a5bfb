// Every kind of traffic that the lanes carry, all at once and for a time, and a plan that changes
// under it: endpoints each second, weights of a route every three.

import { setTimeout as delay } from "node:timers/promises";
import {
  END_STREAM,
  fieldLines,
  frame,
  headers,
  PREFACE_TEXT,
  words,
} from "../../lib/http/h2-case-peer.ts";
import { FRAME } from "../../lib/http/h2-frame.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { HonestRequest, LongKind, RawAnswer, RawWrite } from "./fault-client-protocol.ts";
import { FaultRig } from "./fault-rig.ts";
import { inLane, type ServedHow } from "./lane-manifest.ts";

/** Services: of HTTP/1.1, of bytes, of HTTP/2, with a route, and one only a route sends to. */
export const WEB = 1;
const BYTES = 2;
const STREAMS = 3;
const ROUTED = 4;
const CANARY = 5;
const SERVICES = [WEB, BYTES, STREAMS, ROUTED, CANARY];
const HOW: Readonly<Record<number, ServedHow>> = {
  [BYTES]: { lane: "l4" },
  [STREAMS]: { h2: true },
};
const PLAIN_PODS = ["pod-1-2", "pod-2-1"] as const;
const H2_PODS = ["pod-1-3", "pod-2-2"] as const;

const CHANGE_EVERY_MS = 1_000;
/** Of endpoints, to one of a route's weights. */
const CHANGES_EACH = 3;
/** Between two short connections of one kind. */
const PAUSE_MS = 50;
const ANSWER_MS = 5_000;
const CANCEL = 8;
const CANCELLED_EACH = 10;
const CANCEL_AFTER_MS = 40;

/** What became of one kind of traffic. */
export interface KindReport {
  readonly done: number;
  /** What went wrong, in words; all of it. */
  readonly lost: readonly string[];
}

/** A node with one worker, and Services 1 to 5 with all of their endpoints. */
export async function buildSoak(): Promise<FaultRig> {
  const rig = await FaultRig.build({
    podsPerNode: 3,
    backends: {
      ...Object.fromEntries(PLAIN_PODS.map((pod) => [pod, "http1"] as const)),
      ...Object.fromEntries(H2_PODS.map((pod) => [pod, "http2"] as const)),
    },
  });
  await putEndpoints(rig, () => true);
  await putWeights(rig, 1, 1);
  await rig.start(WEB);
  return rig;
}

/** Takes every endpoint away: connections to them that nobody uses are closed. */
export async function withoutEndpoints(rig: FaultRig): Promise<void> {
  await putEndpoints(rig, () => false);
}

/** Resolves when all traffic has ended. @returns by the kind of traffic */
export async function soak(
  rig: FaultRig,
  durationMs: number,
): Promise<Readonly<Record<string, KindReport>>> {
  const endMs = performance.now() + durationMs;
  const repeat = (one: () => Promise<string | undefined>): Promise<KindReport> =>
    repeated(one, endMs);
  const kinds: Record<string, Promise<KindReport>> = {
    "L4, new connections": repeat(() => closedAfterAnswer(rig, BYTES)),
    "L4, kept connections": repeat(() => talked(rig, "websocket", BYTES, 20)),
    "HTTP/1.1, new connections": repeat(() => closedAfterAnswer(rig, WEB)),
    "HTTP/1.1, kept connections": steady(rig, WEB, durationMs, "http1"),
    "HTTP/1.1, a route": steady(rig, ROUTED, durationMs, "http1"),
    "HTTP/2": steady(rig, STREAMS, durationMs, "http2"),
    "HTTP/2, a stream that lasts": repeat(() => talked(rig, "h2", STREAMS, 20)),
    "HTTP/2, cancelled": repeat(() => cancelled(rig)),
    WebSocket: repeat(() => talked(rig, "websocket", WEB, 5)),
    "changes of the plan": changes(rig, endMs),
  };
  const entries = Object.entries(kinds).map(
    async ([kind, report]) => [kind, await report] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

async function repeated(
  one: () => Promise<string | undefined>,
  endMs: number,
): Promise<KindReport> {
  const lost: string[] = [];
  let done = 0;
  while (performance.now() < endMs) {
    const failure = await one();
    if (failure === undefined) done++;
    else lost.push(failure);
    await delay(PAUSE_MS);
  }
  return { done, lost };
}

/** Every pod of a Service in turn goes and comes back; now and then a route changes. */
async function changes(rig: FaultRig, endMs: number): Promise<KindReport> {
  let done = 0;
  for (; performance.now() < endMs; done++) {
    const absent = [undefined, 0, undefined, 1][done % 4];
    await putEndpoints(rig, (index) => index !== absent);
    if (done % CHANGES_EACH === 0) await putWeights(rig, 1 + (done % 2) * 8, 2);
    await delay(CHANGE_EVERY_MS);
  }
  return { done, lost: [] };
}

async function putEndpoints(rig: FaultRig, has: (index: number) => boolean): Promise<void> {
  const items = SERVICES.flatMap((number) => {
    const pods = (number === STREAMS ? H2_PODS : PLAIN_PODS).filter((_, index) => has(index));
    const how = HOW[number] ?? {};
    return rig.served.manifests({ number, pods }).map((item) => inLane(item, how));
  });
  await rig.served.put("soak", items);
}

async function putWeights(rig: FaultRig, web: number, canary: number): Promise<void> {
  const backendRefs = [caseBackend(WEB, web), caseBackend(CANARY, canary)];
  await rig.served.put("route", [caseRoute(ROUTED, { rules: [{ backendRefs }] })]);
}

async function steady(
  rig: FaultRig,
  number: number,
  durationMs: number,
  protocol: HonestRequest["protocol"],
): Promise<KindReport> {
  const { ok, failures } = await rig.honest("client", number, {
    durationMs,
    protocol,
    ratePerSecond: 40,
  });
  const lost = Object.entries(failures).flatMap(([code, count]) => Array(count).fill(code));
  return { done: ok, lost };
}

/** One request on a connection that ends with its answer. */
async function closedAfterAnswer(rig: FaultRig, number: number): Promise<string | undefined> {
  const bytes = "GET /once HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const answer = await exchange(rig, number, [{ bytes }]);
  const isWhole = answer.received.startsWith("HTTP/1.1 200") && answer.received.includes("/once");
  return isWhole && answer.end === "fin" ? undefined : told(answer);
}

/** Messages, each answered, on one connection or stream. */
async function talked(
  rig: FaultRig,
  kind: LongKind,
  number: number,
  pieces: number,
): Promise<string | undefined> {
  const request = { ...rig.target(number), kind, pieces, everyMs: PAUSE_MS };
  const report = await rig.client("client").call("long", request);
  return report.complete ? undefined : JSON.stringify(report);
}

/** Streams that are reset while their answers come; the last one is answered whole. */
async function cancelled(rig: FaultRig): Promise<string | undefined> {
  const writes: RawWrite[] = [
    text(Buffer.from(PREFACE_TEXT, "latin1"), frame(FRAME.settings, 0, 0)),
  ];
  for (let id = 1; id < 2 * CANCELLED_EACH; id += 2) {
    writes.push(text(headers(id, END_STREAM, get("/trickle?n=100&ms=10"))));
    const reset = text(frame(FRAME.rstStream, 0, id, words(CANCEL)));
    writes.push({ ...reset, afterMs: CANCEL_AFTER_MS });
  }
  writes.push(text(headers(2 * CANCELLED_EACH + 1, END_STREAM, get("/last"))));
  const answer = await exchange(rig, STREAMS, writes, '"url":"/last"');
  return answer.received.includes('"url":"/last"') ? undefined : told(answer);
}

function get(path: string): readonly string[] {
  return fieldLines(":method: GET", ":scheme: http", `:path: ${path}`, ":authority: a");
}

function text(...frames: readonly Buffer[]): RawWrite {
  return { bytes: Buffer.concat(frames).toString("latin1") };
}

function exchange(
  rig: FaultRig,
  number: number,
  writes: readonly RawWrite[],
  until?: string,
): Promise<RawAnswer> {
  const request = { ...rig.target(number), writes, forMs: ANSWER_MS };
  return rig
    .client("client")
    .call("exchange", until === undefined ? request : { ...request, until });
}

function told({ end, received, elapsedMs }: RawAnswer): string {
  return `${end} after ${Math.round(elapsedMs)} ms: ${received.slice(0, 40)}`;
}
