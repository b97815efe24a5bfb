// Raw objects of one resource in, store changes and problems out. An object that cannot be read
// leaves its last readable form in place, whether it came by watch or by list.

import type { Scope } from "./api/head.ts";
import { readHead } from "./api/head.ts";
import type { ObjectKey, Parsed, Problem } from "./api/parsed.ts";
import { type Kind, type KubeObject, type KubeStore, keyOf } from "./store.ts";

/** What to ask the API server for, and how to read it. */
export interface WatchedResource {
  readonly kind: Kind;
  readonly scope: Scope;
  /** e.g. `/api/v1/services` */
  readonly path: string;
  /** labelSelector and fieldSelector */
  readonly query: Readonly<Record<string, string>>;
  /** Whether a cluster may lack the API or the right to read it; it then counts as empty. */
  readonly presence: "required" | "optional";
  readonly parse: (value: unknown) => Parsed<KubeObject>;
}

/** A list while it is gathered. Nothing of it shows in the store before `apply`. */
export interface Listing {
  put(value: unknown): void;
  remove(value: unknown): void;
  /** Makes the gathered list the truth. */
  apply(): void;
}

export interface ResourceSink {
  put(value: unknown): void;
  remove(value: unknown): void;
  startList(): Listing;
}

export function makeResourceSink(resource: WatchedResource, store: KubeStore): ResourceSink {
  const { kind } = resource;
  /** Subjects of this resource that the store knows problems of. */
  const reported = new Set<string>();
  const report = (subject: string, problems: readonly Problem[]): void => {
    if (problems.length > 0) reported.add(subject);
    else if (!reported.delete(subject)) return;
    store.report(subject, problems);
  };
  const remove = (value: unknown): void => {
    const head = readHead(kind, resource.scope, value);
    if (head.kind === "invalid") return report(head.subject, head.problems);
    store.remove(kind, head.key, head);
    report(head.subject, []);
  };
  return {
    put(value) {
      const parsed = resource.parse(value);
      if (parsed.kind === "ignored") return remove(value);
      if (parsed.kind === "ok") store.put(parsed.object);
      report(subjectOf(kind, parsed), parsed.problems);
    },
    remove,
    startList() {
      const listed = new Map<ObjectKey, Parsed<KubeObject>>();
      return {
        put(value) {
          const parsed = resource.parse(value);
          listed.set(slotOf(parsed), parsed);
        },
        remove(value) {
          const head = readHead(kind, resource.scope, value);
          if (head.kind === "head") listed.delete(head.key);
        },
        apply() {
          applyList(kind, store, [...listed.values()]);
          const gone = new Set(reported);
          for (const parsed of listed.values()) {
            const subject = subjectOf(kind, parsed);
            gone.delete(subject);
            report(subject, parsed.kind === "ignored" ? [] : parsed.problems);
          }
          for (const subject of gone) report(subject, []);
        },
      };
    },
  };
}

function applyList(kind: Kind, store: KubeStore, list: readonly Parsed<KubeObject>[]): void {
  const objects: KubeObject[] = [];
  const keep = new Set<ObjectKey>();
  for (const parsed of list) {
    if (parsed.kind === "ok") objects.push(parsed.object);
    if (parsed.kind === "invalid" && parsed.key !== undefined) keep.add(parsed.key);
  }
  store.replace(kind, objects, keep);
}

/** Where a listed object stands; the nameless share one place, and one problem. */
function slotOf(parsed: Parsed<KubeObject>): string {
  switch (parsed.kind) {
    case "ok":
      return keyOf(parsed.object);
    case "ignored":
      return parsed.key;
    case "invalid":
      return parsed.key ?? "";
    default:
      return parsed satisfies never;
  }
}

function subjectOf(kind: Kind, parsed: Parsed<KubeObject>): string {
  switch (parsed.kind) {
    case "ok":
      return `${kind} ${keyOf(parsed.object)}`;
    case "ignored":
      return `${kind} ${parsed.key}`;
    case "invalid":
      return parsed.subject;
    default:
      return parsed satisfies never;
  }
}
