// The documents of one YAML or JSON text, and on which line each of their fields stands.

import { type Document, isNode, LineCounter, parseAllDocuments } from "yaml";
import { parseJson } from "../watch-event.ts";

export type ManifestText =
  | {
      readonly kind: "documents";
      /** Plain values; empty documents are left out. */
      readonly documents: readonly TextDocument[];
    }
  /** 1-based line of the first thing that is wrong. */
  | { readonly kind: "broken"; readonly line: number; readonly why: string };

export interface TextDocument {
  readonly value: unknown;
  /** The 1-based line of the deepest part of `path` that exists; slow for JSON. */
  lineOf(path: FieldPath): number;
  /** The same at no cost, and 1 for all that JSON holds. */
  roughLineOf(path: FieldPath): number;
}

export type FieldPath = readonly (string | number)[];

/** Never throws. JSON is YAML, but ten times faster read as JSON. */
export function readManifestText(text: string): ManifestText {
  const value = /^\s*[{[]/.test(text) ? parseJson(text) : undefined;
  if (value === undefined) return readYaml(text);
  const lineOf = (path: FieldPath): number => lineInJson(text, path);
  return { kind: "documents", documents: [{ value, lineOf, roughLineOf: () => 1 }] };
}

/** `spec.ports[0].port` as a path. */
export function parseFieldPath(field: string): FieldPath {
  const parts = field.split(/[.[\]]+/).filter((part) => part !== "");
  return parts.map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

function readYaml(text: string): ManifestText {
  const lines = new LineCounter();
  try {
    const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
    const documents: TextDocument[] = [];
    for (const document of parsed) {
      const error = document.errors[0];
      if (error !== undefined) {
        return { kind: "broken", line: lines.linePos(error.pos[0]).line, why: error.message };
      }
      const value: unknown = document.toJS();
      if (value === null || value === undefined) continue;
      const lineOf = (path: FieldPath): number => lineIn(document, lines, path);
      documents.push({ value, lineOf, roughLineOf: lineOf });
    }
    return { kind: "documents", documents };
  } catch (cause) {
    // Too many aliases or too deep: the library throws where it cannot point at a line.
    return { kind: "broken", line: 1, why: cause instanceof Error ? cause.message : "unreadable" };
  }
}

/** Only problems ask for lines, so JSON is read a second time only where something is wrong. */
function lineInJson(text: string, path: FieldPath): number {
  const lines = new LineCounter();
  const [document] = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  return document === undefined ? 1 : lineIn(document, lines, path);
}

function lineIn(document: Document.Parsed, lines: LineCounter, path: FieldPath): number {
  for (let depth = path.length; depth >= 0; depth--) {
    const node = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
