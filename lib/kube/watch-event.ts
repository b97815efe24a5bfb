// One line of a Kubernetes watch, decoded. Never throws: what comes over the wire is input.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes

import { asRecord, asText, isRecord } from "./api/fields.ts";

export type WatchEvent =
  /** ADDED or MODIFIED: after a lost stream the two cannot be told apart anyway. */
  | { readonly kind: "put"; readonly object: unknown; readonly resourceVersion: string }
  /** Gone, or no longer selected; `object` is its last form, at the deletion's version. */
  | { readonly kind: "delete"; readonly object: unknown; readonly resourceVersion: string }
  | {
      readonly kind: "bookmark";
      readonly resourceVersion: string;
      /** Ends the initial list of a streaming watch. */
      readonly initialEventsEnd: boolean;
    }
  | {
      readonly kind: "error";
      /** HTTP status, e.g. 410; 0 when the server did not say. */
      readonly code: number;
      readonly reason: string;
      readonly message: string;
      readonly retryAfterMs: number;
    }
  /** A well-formed event of a type that this version does not know. */
  | { readonly kind: "unknown"; readonly type: string }
  | { readonly kind: "garbage"; readonly why: string };

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

export function decodeWatchEvent(line: string): WatchEvent {
  const event = parseJson(line);
  if (!isRecord(event)) return { kind: "garbage", why: "line is no JSON object" };
  const { type, object } = event;
  if (typeof type !== "string") return { kind: "garbage", why: "event has no type" };
  if (!isRecord(object))
    return { kind: "garbage", why: `event ${type.slice(0, 16)} has no object` };
  const metadata = asRecord(object["metadata"]);
  const resourceVersion = asText(metadata["resourceVersion"]);
  switch (type) {
    case "ADDED":
    case "MODIFIED":
      return { kind: "put", object, resourceVersion };
    case "DELETED":
      return { kind: "delete", object, resourceVersion };
    case "BOOKMARK": {
      const annotations = asRecord(metadata["annotations"]);
      const initialEventsEnd = annotations[INITIAL_EVENTS_END] === "true";
      return { kind: "bookmark", resourceVersion, initialEventsEnd };
    }
    case "ERROR":
      return { kind: "error", ...decodeStatus(object) };
    default:
      return { kind: "unknown", type: type.slice(0, 16) };
  }
}

/** The fields of a `meta/v1 Status` that say what went wrong. Never throws. */
export function decodeStatus(value: unknown): {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs: number;
} {
  const status = asRecord(value);
  const { code } = status;
  const seconds = asRecord(status["details"])["retryAfterSeconds"];
  return {
    code: typeof code === "number" ? code : 0,
    reason: asText(status["reason"]),
    message: asText(status["message"]),
    retryAfterMs: typeof seconds === "number" && seconds > 0 ? seconds * 1_000 : 0,
  };
}

/** The value, or undefined when the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}
