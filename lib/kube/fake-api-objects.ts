// Single objects of the fake API server: read, create, replace and patch them, their status apart
// from the rest, with resourceVersion as precondition.

import { asRecord, asText, isRecord, type JsonRecord } from "./api/fields.ts";
import { COLLECTION_PATHS, type FakeApiState, type StoredObject } from "./fake-api-state.ts";

export type ObjectVerb = "get" | "create" | "update" | "patch";

export interface ObjectRequest {
  readonly verb: ObjectVerb;
  readonly path: string;
  readonly body: JsonRecord;
}

export type ObjectAnswer =
  | { readonly code: 200 | 201; readonly object: JsonRecord }
  | { readonly code: 404 | 409; readonly reason: "NotFound" | "AlreadyExists" | "Conflict" };

const OBJECT_PATH =
  /^(\/apis?\/(?:[^/]+\/)?v[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)\/([^/]+?)(\/status)?$/;

/** Whether a path names one object and no collection. */
export function namesObject(path: string): boolean {
  return locate(path) !== undefined;
}

/** Does what a request asks for, as a real server would. */
export function answerObject(state: FakeApiState, request: ObjectRequest): ObjectAnswer {
  const { verb, path, body } = request;
  if (verb === "create") return create(state, path, body);
  const place = locate(path);
  const before = place && state.objects(place.collection).get(place.key);
  if (place === undefined || before === undefined) return { code: 404, reason: "NotFound" };
  if (verb === "get") return { code: 200, object: before.value };
  const wanted = asText(asRecord(body["metadata"])["resourceVersion"]);
  const current = asText(asRecord(before.value["metadata"])["resourceVersion"]);
  if (wanted !== "" && wanted !== current) return { code: 409, reason: "Conflict" };
  const next = verb === "update" ? body : mergePatch(before.value, body);
  return { code: 200, object: state.put(withOnly(place.isStatus, before.value, asRecord(next))) };
}

function create(state: FakeApiState, path: string, body: JsonRecord): ObjectAnswer {
  const name = asText(asRecord(body["metadata"])["name"]);
  const before = storedAt(state, `${path}/${name}`);
  if (before !== undefined) return { code: 409, reason: "AlreadyExists" };
  const namespace = /\/namespaces\/([^/]+)\//.exec(path)?.[1];
  const metadata = { ...(namespace !== undefined && { namespace }), ...asRecord(body["metadata"]) };
  return { code: 201, object: state.put({ ...body, metadata }) };
}

function storedAt(state: FakeApiState, path: string): StoredObject | undefined {
  const place = locate(path);
  return place && state.objects(place.collection).get(place.key);
}

function locate(path: string) {
  const [, root, namespace, resource, name, status] = OBJECT_PATH.exec(path) ?? [];
  const collection = `${root}/${resource}`;
  if (name === undefined || !Object.values(COLLECTION_PATHS).includes(collection)) return undefined;
  const key = namespace === undefined ? name : `${namespace}/${name}`;
  return { collection, key, isStatus: status !== undefined };
}

/** A write to the status changes nothing else, any other write everything else. */
function withOnly(isStatus: boolean, before: JsonRecord, next: JsonRecord): JsonRecord {
  const metadata = asRecord(before["metadata"]);
  if (isStatus) return { ...before, status: next["status"] };
  return { ...next, metadata: { ...metadata, ...asRecord(next["metadata"]) } };
}

/** RFC 7396. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const merged = new Map(Object.entries(asRecord(target)));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}
