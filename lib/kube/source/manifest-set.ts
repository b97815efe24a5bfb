// All files of a folder together: what each holds by its last readable form, and which object
// counts when two files have the same one. Pure.

import type { Problem } from "../api/parsed.ts";
import type { KubeObject } from "../store.ts";
import { type Manifest, type ManifestEntry, problemAt } from "./manifest-file.ts";

/** What one file contributes. */
export interface FileState {
  readonly entries: readonly ManifestEntry[];
  readonly problems: readonly Problem[];
}

/**
 * The file's new state. What cannot be read keeps its last readable form: the whole file when it
 * is broken (perhaps half-written), else each unreadable object by itself.
 */
export function nextFileState(before: FileState | undefined, manifest: Manifest): FileState {
  const { problems } = manifest;
  if (manifest.kind === "broken") return { entries: before?.entries ?? [], problems };
  const last = new Map(before?.entries.map((entry) => [entry.id, entry]));
  const entries = manifest.entries.map((entry) =>
    entry.object === undefined ? (last.get(entry.id) ?? entry) : entry,
  );
  return { entries, problems };
}

export interface MergedFiles {
  readonly objects: readonly KubeObject[];
  /** By file name; files without problems have an empty list. */
  readonly problems: ReadonlyMap<string, readonly Problem[]>;
}

/** Joins all files; of one object in two places the first counts, by file name, then by line. */
export function mergeFiles(files: ReadonlyMap<string, FileState>): MergedFiles {
  const names = [...files.keys()].sort();
  const owners = new Map<string, { readonly name: string; readonly entry: ManifestEntry }>();
  const objects: KubeObject[] = [];
  const problems = new Map<string, readonly Problem[]>();
  for (const name of names) {
    const state = files.get(name);
    if (state === undefined) continue;
    const clashes: Problem[] = [];
    for (const entry of state.entries) {
      const owner = owners.get(entry.id);
      if (owner !== undefined) {
        const place = `${owner.name}:${owner.entry.line}`;
        const message = `${entry.id} is in ${place} too, and that one counts; remove one of them`;
        clashes.push(problemAt(name, entry.line, "metadata.name", message));
        continue;
      }
      owners.set(entry.id, { name, entry });
      if (entry.object !== undefined) objects.push(entry.object);
    }
    problems.set(name, [...state.problems, ...clashes]);
  }
  return { objects, problems };
}
