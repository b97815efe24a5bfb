// One file of manifests as the objects in it: which of its documents are ours, which of them can
// be read, and what is wrong with the others, by line. Pure.

import { asList, asRecord, asText, formatValue } from "../api/fields.ts";
import type { Parsed, Problem } from "../api/parsed.ts";
import { type Kind, type KubeObject, keyOf } from "../store.ts";
import { KIND_TABLE } from "./kind-table.ts";
import { type FieldPath, parseFieldPath, readManifestText } from "./manifest-text.ts";
import { selectsService, selectsSlice } from "./selection.ts";

/** One object of a file. */
export interface ManifestEntry {
  /** e.g. `Service default/web` */
  readonly id: string;
  /** Undefined when it cannot be read: then its last readable form counts. */
  readonly object: KubeObject | undefined;
  readonly line: number;
}

export type Manifest =
  | {
      readonly kind: "manifest";
      readonly entries: readonly ManifestEntry[];
      readonly problems: readonly Problem[];
    }
  /** No document of it can be trusted: the file's last readable form counts. */
  | { readonly kind: "broken"; readonly problems: readonly Problem[] };

export interface ManifestOptions {
  readonly nodeName: string;
  /** "own": Nodes of other names are left out. */
  readonly nodes: "own" | "all";
  /** As for the API source. */
  readonly serviceProxyName: string | undefined;
}

/**
 * Reads one file. Never throws. Kinds that are not ours are left out without a word, for a folder
 * may hold whole applications.
 * @param name the file's name, for problems
 */
export function readManifest(name: string, text: string, options: ManifestOptions): Manifest {
  const read = readManifestText(text);
  if (read.kind === "broken") {
    return { kind: "broken", problems: [problemAt(name, read.line, "", read.why)] };
  }
  const entries: ManifestEntry[] = [];
  const problems: Problem[] = [];
  for (const document of read.documents) {
    for (const { value, path } of unfold(document.value)) {
      const lineOf = (field: string): number =>
        document.lineOf([...path, ...parseFieldPath(field)]);
      const result = readObject(value, options);
      for (const { object, field, message } of result.problems) {
        const said = object === "" ? message : `${object}: ${message}`;
        problems.push(problemAt(name, lineOf(field), field, said));
      }
      if (result.id === undefined) continue;
      const line = document.roughLineOf(path);
      entries.push({ id: result.id, object: result.object, line });
    }
  }
  return { kind: "manifest", entries, problems };
}

/** e.g. `file services.yaml:12` */
export function problemAt(name: string, line: number, field: string, message: string): Problem {
  return { object: `file ${name}:${line}`, field, message };
}

interface ReadObject {
  /** Undefined for documents that are not ours. */
  readonly id: string | undefined;
  readonly object: KubeObject | undefined;
  readonly problems: readonly Problem[];
}

const NOT_OURS: ReadObject = { id: undefined, object: undefined, problems: [] };

function readObject(value: unknown, options: ManifestOptions): ReadObject {
  const record = asRecord(value);
  const { kind } = record;
  if (!isKind(kind)) return NOT_OURS;
  const apiVersion = record["apiVersion"];
  const { apiVersions, parse } = KIND_TABLE[kind];
  if (!apiVersions.includes(asText(apiVersion))) {
    if (isOtherApi(apiVersion)) return NOT_OURS;
    const message = `want ${apiVersions[0]} for a ${kind}: got ${formatValue(apiVersion)}`;
    return { ...NOT_OURS, problems: [{ object: "", field: "apiVersion", message }] };
  }
  if (kind === "Service" && !selectsService(value, options.serviceProxyName)) return NOT_OURS;
  if (kind === "EndpointSlice" && !selectsSlice(value)) return NOT_OURS;
  return resultOf(kind, parse(value), options);
}

function resultOf(
  kind: Kind,
  parsed: Parsed<KubeObject>,
  { nodeName, nodes }: ManifestOptions,
): ReadObject {
  switch (parsed.kind) {
    case "ok": {
      const { object } = parsed;
      const isOther = object.kind === "Node" && object.name !== nodeName;
      if (isOther && nodes === "own") return NOT_OURS;
      const id = `${kind} ${keyOf(object)}`;
      // A version copied from a cluster says nothing about the file, which people edit.
      return { id, object: { ...object, resourceVersion: "" }, problems: parsed.problems };
    }
    case "ignored": {
      if (parsed.why !== "no-cluster-ip") return NOT_OURS;
      const id = `${kind} ${parsed.key}`;
      const message = "set it: nothing allocates an address for objects in files";
      return {
        id,
        object: undefined,
        problems: [{ object: id, field: "spec.clusterIP", message }],
      };
    }
    case "invalid": {
      const id = parsed.key === undefined ? undefined : parsed.subject;
      return { id, object: undefined, problems: parsed.problems };
    }
    default:
      return parsed satisfies never;
  }
}

function isKind(kind: unknown): kind is Kind {
  return typeof kind === "string" && Object.hasOwn(KIND_TABLE, kind);
}

/** True for another project's API that has a kind of the same name, such as Knative's Service. */
function isOtherApi(apiVersion: unknown): boolean {
  const [group = "", version] = asText(apiVersion).split("/");
  return version !== undefined && group.includes(".") && !group.includes("k8s");
}

/** The objects of a document: itself, or the items of a `List` or a `ServiceList`. */
function unfold(value: unknown): readonly { value: unknown; path: FieldPath }[] {
  const record = asRecord(value);
  const { items } = record;
  const kind = asText(record["kind"]);
  if (!kind.endsWith("List") || !Array.isArray(items)) return [{ value, path: [] }];
  const typed = kind === "List" ? {} : { kind: kind.slice(0, -"List".length) };
  const { apiVersion } = record;
  return asList(items).map((item, i) => {
    const full = kind === "List" ? item : { ...typed, apiVersion, ...asRecord(item) };
    return { value: full, path: ["items", i] };
  });
}
