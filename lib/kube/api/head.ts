// The part that all objects share: kind, name, namespace, uid, resourceVersion.

import {
  asRecord,
  asText,
  formatValue,
  isRecord,
  type JsonRecord,
  makeProblemList,
  type ProblemList,
} from "./fields.ts";
import type { Invalid, ObjectKey } from "./parsed.ts";

/** Cluster-scoped kinds have namespace "". */
export type Scope = "namespaced" | "cluster";

export interface Head {
  readonly kind: "head";
  /** e.g. `Service default/web` */
  readonly subject: string;
  readonly key: ObjectKey;
  readonly namespace: string;
  readonly name: string;
  /** "" when the object has none, as in files. */
  readonly uid: string;
  readonly resourceVersion: string;
  readonly metadata: JsonRecord;
  readonly spec: JsonRecord;
  readonly status: JsonRecord;
  readonly problems: ProblemList;
}

const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const MAX_NAME_LENGTH = 253;

/** Reads what identifies an object. An absent namespace means `default`, as for kubectl. */
export function readHead(kind: string, scope: Scope, value: unknown): Head | Invalid {
  if (!isRecord(value)) return invalidHead(kind, "", `want an object: got ${formatValue(value)}`);
  if (value["kind"] !== undefined && value["kind"] !== kind) {
    return invalidHead(kind, "kind", `want ${kind}: got ${formatValue(value["kind"])}`);
  }
  const metadata = asRecord(value["metadata"]);
  const name = metadata["name"];
  if (!isName(name)) {
    return invalidHead(kind, "metadata.name", `want a name: got ${formatValue(name)}`);
  }
  const namespace = scope === "cluster" ? "" : (metadata["namespace"] ?? "default");
  if (scope === "namespaced" && !isName(namespace)) {
    const got = formatValue(namespace);
    return invalidHead(kind, "metadata.namespace", `want a namespace: got ${got}`);
  }
  const key = scope === "cluster" ? name : `${asText(namespace)}/${name}`;
  const subject = `${kind} ${key}`;
  return {
    kind: "head",
    subject,
    key,
    namespace: asText(namespace),
    name,
    uid: asText(metadata["uid"]),
    resourceVersion: asText(metadata["resourceVersion"]),
    metadata,
    spec: asRecord(value["spec"]),
    status: asRecord(value["status"]),
    problems: makeProblemList(subject),
  };
}

/** The outcome for an object whose head was read but whose rest cannot be. */
export function invalidObject(head: Head): Invalid {
  const problems = head.problems.take();
  return { kind: "invalid", subject: head.subject, key: head.key, problems };
}

function invalidHead(kind: string, field: string, message: string): Invalid {
  const problems = [{ object: kind, field, message }];
  return { kind: "invalid", subject: kind, key: undefined, problems };
}

/** Names become keys, comments and log fields: nothing but DNS characters may pass. */
export function isName(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_NAME_LENGTH && NAME.test(value);
}
