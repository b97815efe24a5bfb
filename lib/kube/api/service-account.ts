// core/v1 ServiceAccount: the labels that choose for all pods that run as it.

import { textRecord } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface ServiceAccount {
  readonly kind: "ServiceAccount";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Reads a ServiceAccount. Never throws. */
export function parseServiceAccount(value: unknown): Parsed<ServiceAccount> {
  const head = readHead("ServiceAccount", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, metadata, problems } = head;
  const labels = textRecord(metadata["labels"]);
  const identity = { namespace, name, uid, resourceVersion };
  const object: ServiceAccount = { kind: "ServiceAccount", ...identity, labels };
  return { kind: "ok", object, problems: problems.take() };
}
