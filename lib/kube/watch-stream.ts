// One watch request, from its head to its end. Whatever comes over the wire, it ends with a value
// that says why; it never rejects and never waits for ever.

import type { Clock } from "../clock/clock.ts";
import type { KubeClient } from "./client.ts";
import { isExpired, KubeApiError, toKubeApiError } from "./kube-api-error.ts";
import { makeLineSplitter } from "./line-splitter.ts";
import { decodeWatchEvent, type WatchEvent } from "./watch-event.ts";

/** Events that carry state; the others end the stream or are dropped. */
export type StateEvent = Extract<WatchEvent, { kind: "put" | "delete" | "bookmark" }>;

export type StreamEnd =
  /** The server ended it. A half-sent last event is dropped: the next watch brings it again. */
  | { readonly kind: "ended" }
  /** The server said nothing although the time that we asked for was over. */
  | { readonly kind: "stalled" }
  /** 410: the version to resume from is compacted away, only a new list helps. */
  | { readonly kind: "expired" }
  | { readonly kind: "garbage"; readonly why: string }
  | { readonly kind: "failed"; readonly error: KubeApiError };

export interface WatchRequest {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly onHead: () => void;
  readonly onEvent: (event: StateEvent) => void;
}

/** How long the server is asked to keep a watch open. */
export const WATCH_SECONDS = 50;
/** How much later than that its end may come; 55 s together, inside the 60 s of fault F4. */
export const WATCH_GRACE_MS = 5_000;
/** etcd holds objects of 1.5 MiB; as JSON with its field names one may be a few times larger. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

export async function readWatchStream(
  client: KubeClient,
  clock: Clock,
  request: WatchRequest,
): Promise<StreamEnd> {
  const stalled = new AbortController();
  const finished = new AbortController();
  const signal = AbortSignal.any([request.signal, stalled.signal]);
  const query = { ...request.query, timeoutSeconds: `${WATCH_SECONDS}` };
  try {
    const body = await client.openStream(request.path, { query, signal });
    request.onHead();
    void clock.sleep(WATCH_SECONDS * 1_000 + WATCH_GRACE_MS, finished.signal).then(() => {
      if (!finished.signal.aborted) stalled.abort();
    });
    return await readEvents(body, request.onEvent);
  } catch (cause) {
    if (stalled.signal.aborted) return { kind: "stalled" };
    const error = toKubeApiError(`watch ${request.path}`, cause);
    return isExpired(error) ? { kind: "expired" } : { kind: "failed", error };
  } finally {
    finished.abort();
  }
}

async function readEvents(
  body: AsyncIterable<Uint8Array>,
  onEvent: (event: StateEvent) => void,
): Promise<StreamEnd> {
  const splitter = makeLineSplitter(MAX_LINE_BYTES);
  for await (const chunk of body) {
    const split = splitter.push(chunk);
    if (split.kind === "too-long") {
      return { kind: "garbage", why: `line is longer than ${MAX_LINE_BYTES} bytes` };
    }
    for (const line of split.lines) {
      const end = readLine(line, onEvent);
      if (end !== undefined) return end;
    }
  }
  return { kind: "ended" };
}

function readLine(line: string, onEvent: (event: StateEvent) => void): StreamEnd | undefined {
  if (line === "") return undefined;
  const event = decodeWatchEvent(line);
  switch (event.kind) {
    case "put":
    case "delete":
    case "bookmark":
      onEvent(event);
      return undefined;
    case "garbage":
      return event;
    case "error": {
      if (isExpired(event)) return { kind: "expired" };
      const message = `Cannot go on watching: server sent ${event.code}: ${event.message}`;
      return { kind: "failed", error: new KubeApiError(message, event) };
    }
    case "unknown":
      // A newer server may have more to say; what it means to us is nothing.
      return undefined;
    default:
      return event satisfies never;
  }
}
