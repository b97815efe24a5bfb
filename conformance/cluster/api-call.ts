// Calls of the client library, with a time limit and with its errors sorted: what the server
// refused, and what never got an answer.

import { ApiException } from "@kubernetes/client-node";

import type { Clock } from "../../lib/clock/clock.ts";
import { ConformanceError } from "../conformance-error.ts";
import { RefusedError } from "./cluster.ts";

/** The client library waits for ever. */
const limitMs = 30_000;

/**
 * Waits for a call.
 * @param what completes "Cannot …"
 * @throws RefusedError for 4xx, ConformanceError `unreachable` for anything else
 */
export async function apiCall<T>(clock: Clock, what: string, call: Promise<T>): Promise<T> {
  const finished = new AbortController();
  const late = clock.sleep(limitMs, finished.signal).then(() => {
    if (finished.signal.aborted) return call;
    throw new ConformanceError("unreachable", `Cannot ${what}: no answer within ${limitMs} ms`);
  });
  try {
    return await Promise.race([call, late]);
  } catch (error) {
    throw sorted(what, error);
  } finally {
    finished.abort();
  }
}

/** Waits for a call that may find nothing. @returns undefined for 404 */
export async function apiCallOrNothing<T>(
  clock: Clock,
  what: string,
  call: Promise<T>,
): Promise<T | undefined> {
  try {
    return await apiCall(clock, what, call);
  } catch (error) {
    if (error instanceof RefusedError && error.status === 404) return undefined;
    throw error;
  }
}

function sorted(what: string, error: unknown): Error {
  if (error instanceof ConformanceError) return error;
  if (error instanceof ApiException && error.code >= 400 && error.code < 500) {
    return new RefusedError(what, error.code, messageOf(error.body), { cause: error });
  }
  return new ConformanceError("unreachable", `Cannot ${what}: ${reasonOf(error)}`, {
    cause: error,
  });
}

/** `fetch failed` alone helps nobody: what failed is its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}

/** The message of a Status object, parsed or as text. */
function messageOf(body: unknown): string {
  const status: unknown = typeof body === "string" ? parseJson(body) : body;
  const told = typeof status === "object" && status !== null && "message" in status;
  return told && typeof status.message === "string" ? status.message : "no reason given";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
