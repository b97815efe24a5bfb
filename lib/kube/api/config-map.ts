// core/v1 ConfigMap: named texts.

import { asRecord, textRecord } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface ConfigMap {
  readonly kind: "ConfigMap";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly data: Readonly<Record<string, string>>;
}

/** Reads a ConfigMap; its binary data is not told. Never throws. */
export function parseConfigMap(value: unknown): Parsed<ConfigMap> {
  const head = readHead("ConfigMap", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, problems } = head;
  const data = textRecord(asRecord(value)["data"]);
  const object: ConfigMap = { kind: "ConfigMap", namespace, name, uid, resourceVersion, data };
  return { kind: "ok", object, problems: problems.take() };
}
