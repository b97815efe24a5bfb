// Files together: last readable forms, and who wins when two have the same object.

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseServiceCidr } from "../api/service-cidr.ts";
import type { KubeObject } from "../store.ts";
import type { Manifest, ManifestEntry } from "./manifest-file.ts";
import { type FileState, mergeFiles, nextFileState } from "./manifest-set.ts";

function object(cidr: string): KubeObject {
  const parsed = parseServiceCidr({ metadata: { name: "a" }, spec: { cidrs: [cidr] } });
  assert.ok(parsed.kind === "ok");
  return parsed.object;
}

const entry = (id: string, cidr?: string): ManifestEntry => ({
  id,
  object: cidr === undefined ? undefined : object(cidr),
  line: 7,
});
const state = (...entries: readonly ManifestEntry[]): FileState => ({ entries, problems: [] });
const manifest = (...entries: readonly ManifestEntry[]): Manifest => ({
  kind: "manifest",
  entries,
  problems: [],
});
const PROBLEM = { object: "file a.yaml:1", field: "", message: "bad" };

test("a broken file keeps all of its last objects", () => {
  const before = state(entry("a", "10.0.0.0/24"));
  const broken = { kind: "broken", problems: [PROBLEM] } as const;
  assert.deepEqual(nextFileState(before, broken), { ...before, problems: [PROBLEM] });
  assert.deepEqual(nextFileState(undefined, broken), { entries: [], problems: [PROBLEM] });
});

test("an unreadable object keeps its last form, the others move on", () => {
  const before = state(entry("a", "10.0.0.0/24"), entry("b", "10.0.1.0/24"));
  const next = nextFileState(before, manifest(entry("a"), entry("b", "10.0.2.0/24"), entry("c")));
  assert.equal(next.entries[0], before.entries[0]);
  assert.deepEqual(next.entries[1], entry("b", "10.0.2.0/24"));
  assert.equal(next.entries[2]?.object, undefined);
});

test("an object that is gone from a readable file is gone", () => {
  const before = state(entry("a", "10.0.0.0/24"));
  assert.deepEqual(nextFileState(before, manifest()).entries, []);
});

test("of an object in two files the first file by name counts, and both are named", () => {
  const files = new Map([
    ["b.yaml", state(entry("a", "10.0.2.0/24"))],
    ["a.yaml", state(entry("a", "10.0.1.0/24"))],
  ]);
  const { objects, problems } = mergeFiles(files);
  assert.deepEqual(objects, [object("10.0.1.0/24")]);
  assert.deepEqual(problems.get("a.yaml"), []);
  assert.equal(problems.get("b.yaml")?.[0]?.object, "file b.yaml:7");
  assert.match(problems.get("b.yaml")?.[0]?.message ?? "", /^a is in a\.yaml:7 too/);
});
