// One write of one object's status, on the condition that the object is still what was judged. A
// conflict is answered by reading again and judging anew; an object whose spec has changed
// meanwhile is left for the watch to bring.

import { asRecord, asText, type JsonRecord } from "./api/fields.ts";
import type { KubeClient } from "./client.ts";
import { KubeApiError, toKubeApiError } from "./kube-api-error.ts";

/** An object as far as its status goes. */
export interface StatusTarget {
  /** Where it lives, e.g. `/apis/…/namespaces/shop/httproutes/web`. */
  readonly path: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  /** As it is, whatever it holds. */
  readonly status: JsonRecord;
}

/**
 * What has to change in a status.
 * @returns a JSON merge patch of `status`; undefined when nothing has to
 */
export type NextStatus = (status: JsonRecord) => JsonRecord | undefined;

export type StatusOutcome =
  | { readonly kind: "unchanged" }
  | { readonly kind: "written"; readonly resourceVersion: string }
  /** Deleted meanwhile. */
  | { readonly kind: "gone" }
  /** Its spec changed meanwhile, or it is another object of that name. */
  | { readonly kind: "stale" };

export interface StatusWriterOptions {
  readonly client: Pick<KubeClient, "getJson" | "patch">;
  /** Asked right before a write leaves. */
  readonly permit: () => boolean;
  readonly signal: AbortSignal;
  readonly onConflict: () => void;
}

/** After so many conflicts in a row somebody else writes all the time: that is for later. */
export const CONFLICT_LIMIT = 4;

/** @throws KubeApiError when the server cannot be reached, refuses, or conflicts go on */
export async function writeStatus(
  judged: StatusTarget,
  next: NextStatus,
  options: StatusWriterOptions,
): Promise<StatusOutcome> {
  let target = judged;
  for (let conflicts = 0; ; conflicts++) {
    const status = next(target.status);
    if (status === undefined) return { kind: "unchanged" };
    try {
      return { kind: "written", resourceVersion: await patchStatus(target, status, options) };
    } catch (cause) {
      const error = toKubeApiError(`write status of ${target.path}`, cause);
      if (error.code === 404) return { kind: "gone" };
      if (error.code !== 409 || conflicts === CONFLICT_LIMIT) throw error;
    }
    options.onConflict();
    const fresh = await readTarget(target.path, options);
    if (fresh === undefined) return { kind: "gone" };
    const same = fresh.uid === judged.uid && fresh.generation === judged.generation;
    if (!same) return { kind: "stale" };
    target = fresh;
  }
}

/** Reads an object as the API server sends it. Never throws. */
export function statusTargetOf(path: string, value: unknown): StatusTarget {
  const object = asRecord(value);
  const { generation, resourceVersion, uid } = asRecord(object["metadata"]);
  return {
    path,
    uid: asText(uid),
    resourceVersion: asText(resourceVersion),
    generation: typeof generation === "number" ? generation : 0,
    status: asRecord(object["status"]),
  };
}

async function patchStatus(
  { path, resourceVersion }: StatusTarget,
  status: JsonRecord,
  { client, permit, signal }: StatusWriterOptions,
): Promise<string> {
  const patch = { metadata: { resourceVersion }, status };
  const answer = await client.patch(`${path}/status`, patch, { signal, permit });
  return statusTargetOf(path, answer).resourceVersion;
}

async function readTarget(
  path: string,
  { client, signal }: StatusWriterOptions,
): Promise<StatusTarget | undefined> {
  try {
    return statusTargetOf(path, await client.getJson(path, { signal }));
  } catch (cause) {
    if (cause instanceof KubeApiError && cause.code === 404) return undefined;
    throw cause;
  }
}
