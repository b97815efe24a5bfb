// Reads the configuration file into raw field values, each with the line it stands on. Knows the
// names of fields but not what they mean. Unknown fields are only warned about, as in kube-proxy.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  parseAllDocuments,
  type YAMLMap,
} from "yaml";
import type { SettingProblem } from "./setting-problem.ts";

export interface DocumentKind {
  readonly apiVersion: string;
  readonly kind: string;
  /** Dotted paths of the fields it may have. */
  readonly fields: ReadonlySet<string>;
}

export interface FieldValue {
  /** `kube-proxy.yaml:12 conntrack.min` */
  readonly where: string;
  /** As YAML gave it; never null. */
  readonly value: unknown;
}

export interface ConfigurationFile {
  /** By kind, then by dotted path. Fields left out or null are missing. */
  readonly values: ReadonlyMap<string, ReadonlyMap<string, FieldValue>>;
  readonly warnings: readonly SettingProblem[];
  readonly errors: readonly SettingProblem[];
}

interface Findings {
  readonly path: string;
  readonly lines: LineCounter;
  readonly warnings: SettingProblem[];
  readonly errors: SettingProblem[];
}

const HEAD_FIELDS: readonly string[] = ["apiVersion", "kind"];
/** More aliases than this in one document is a bomb, not a configuration. */
const ALIAS_LIMIT = 100;

/**
 * Reads a YAML or JSON file of one document per kind, in any order. Never throws.
 * @param path only for messages
 */
export function readConfigurationFile(
  path: string,
  text: string,
  kinds: readonly DocumentKind[],
): ConfigurationFile {
  const findings: Findings = { path, lines: new LineCounter(), warnings: [], errors: [] };
  const values = new Map<string, ReadonlyMap<string, FieldValue>>();
  // YAML 1.1, because Go's parser reads `yes` and `on` as booleans too.
  const options = { lineCounter: findings.lines, version: "1.1", uniqueKeys: false } as const;
  for (const document of parseAllDocuments(text, options)) {
    const [syntaxError] = document.errors;
    if (syntaxError !== undefined) {
      const line = syntaxError.linePos?.[0].line ?? 1;
      const [message = ""] = syntaxError.message.split("\n");
      findings.errors.push({ where: `${path}:${line}`, message: `is not YAML: ${message}` });
      continue;
    }
    if (document.contents === null || isNull(document.contents)) continue;
    readDocument(document, kinds, values, findings);
  }
  if (values.size === 0 && findings.errors.length === 0) {
    findings.errors.push({ where: path, message: `holds no document; ${expected(kinds)}` });
  }
  return { values, warnings: findings.warnings, errors: findings.errors };
}

function readDocument(
  document: Document.Parsed,
  kinds: readonly DocumentKind[],
  values: Map<string, ReadonlyMap<string, FieldValue>>,
  findings: Findings,
): void {
  const where = `${findings.path}:${lineOf(document.contents, findings)}`;
  if (!isMap(document.contents)) {
    findings.errors.push({ where, message: `is not a map of fields; ${expected(kinds)}` });
    return;
  }
  const root: YAMLMap<unknown, unknown> = document.contents;
  const apiVersion = root.get("apiVersion");
  const name = root.get("kind");
  const kind = kinds.find((k) => k.kind === name && k.apiVersion === apiVersion);
  if (kind === undefined) {
    const found = `kind ${JSON.stringify(name)} of apiVersion ${JSON.stringify(apiVersion)}`;
    findings.errors.push({ where, message: `has ${found}; ${expected(kinds)}` });
    return;
  }
  if (values.has(kind.kind)) {
    findings.errors.push({ where, message: `is a second ${kind.kind}; keep one` });
    return;
  }
  const found = new Map<string, FieldValue>();
  values.set(kind.kind, found);
  const fields = new Set([...kind.fields, ...HEAD_FIELDS]);
  readMap({ document, map: root, prefix: "", fields, found }, findings);
  for (const field of HEAD_FIELDS) found.delete(field);
}

interface MapReading {
  readonly document: Document.Parsed;
  readonly map: YAMLMap<unknown, unknown>;
  /** "" or a path ending in a dot. */
  readonly prefix: string;
  readonly fields: ReadonlySet<string>;
  readonly found: Map<string, FieldValue>;
}

function readMap(reading: MapReading, findings: Findings): void {
  const seen = new Set<string>();
  for (const pair of reading.map.items) {
    const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const field = `${reading.prefix}${key}`;
    const where = `${findings.path}:${lineOf(pair.key, findings)} ${field}`;
    if (seen.has(key)) {
      findings.warnings.push({ where, message: "is given twice; the last one counts" });
    }
    seen.add(key);
    const node = isAlias(pair.value) ? pair.value.resolve(reading.document) : pair.value;
    if (reading.fields.has(field)) {
      readValue({ ...reading, field, where, node }, findings);
    } else if (![...reading.fields].some((known) => known.startsWith(`${field}.`))) {
      findings.warnings.push({ where, message: "is not a known field; it is ignored" });
    } else if (isMap(node)) {
      readMap({ ...reading, map: node, prefix: `${field}.` }, findings);
    } else if (!isNull(node)) {
      findings.errors.push({ where, message: "must be a map of fields" });
    }
  }
}

function readValue(
  reading: MapReading & { readonly field: string; readonly where: string; readonly node: unknown },
  findings: Findings,
): void {
  const { document, found, field, where, node } = reading;
  if (isNull(node)) {
    found.delete(field);
    return;
  }
  try {
    const value: unknown = isNode(node)
      ? node.toJS(document, { maxAliasCount: ALIAS_LIMIT })
      : node;
    found.set(field, { where, value });
  } catch {
    findings.errors.push({ where, message: `uses more than ${ALIAS_LIMIT} aliases` });
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "toJS" in value;
}

function isNull(node: unknown): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function lineOf(node: unknown, findings: Findings): number {
  if (!isNode(node) || !("range" in node)) return 1;
  const offset = node.range?.[0];
  return offset === undefined ? 1 : findings.lines.linePos(offset).line;
}

function expected(kinds: readonly DocumentKind[]): string {
  return `expected ${kinds.map((k) => `${k.kind} ${k.apiVersion}`).join(" or ")}`;
}
