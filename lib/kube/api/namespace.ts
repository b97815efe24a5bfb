// core/v1 Namespace: the labels that choose for all that is in it.

import { textRecord } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface Namespace {
  readonly kind: "Namespace";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Reads a Namespace. Never throws. */
export function parseNamespace(value: unknown): Parsed<Namespace> {
  const head = readHead("Namespace", "cluster", value);
  if (head.kind === "invalid") return head;
  const { name, uid, resourceVersion, metadata, problems } = head;
  const labels = textRecord(metadata["labels"]);
  const object: Namespace = { kind: "Namespace", name, uid, resourceVersion, labels };
  return { kind: "ok", object, problems: problems.take() };
}
