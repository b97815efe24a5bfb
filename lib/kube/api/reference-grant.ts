// gateway.networking.k8s.io/v1 ReferenceGrant: who may refer to objects of its namespace.

import { asRecord, asText } from "./fields.ts";
import { invalidObject, readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";
import { readBounded } from "./route-fields.ts";

export interface ReferenceGrant {
  readonly kind: "ReferenceGrant";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly from: readonly {
    readonly group: string;
    readonly kind: string;
    readonly namespace: string;
  }[];
  /** Without a name: all of that kind. */
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

const MAX_ITEMS = 16;

/** Reads a ReferenceGrant. Never throws; an entry that lacks a part grants nothing. */
export function parseReferenceGrant(value: unknown): Parsed<ReferenceGrant> {
  const head = readHead("ReferenceGrant", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, spec, problems } = head;
  const from = readBounded(spec["from"], "spec.from", MAX_ITEMS, problems);
  const to = readBounded(spec["to"], "spec.to", MAX_ITEMS, problems);
  if (from === undefined || to === undefined) return invalidObject(head);
  const object: ReferenceGrant = {
    kind: "ReferenceGrant",
    namespace,
    name,
    uid,
    resourceVersion,
    from: from.flatMap((item, i) => {
      const one = asRecord(item);
      const kind = asText(one["kind"]);
      const granted = asText(one["namespace"]);
      if (kind !== "" && granted !== "") {
        return [{ group: asText(one["group"]), kind, namespace: granted }];
      }
      problems.add(`spec.from[${i}]`, "want a kind and a namespace");
      return [];
    }),
    to: to.flatMap((item, i) => {
      const one = asRecord(item);
      const kind = asText(one["kind"]);
      const named = one["name"] ?? undefined;
      if (kind !== "" && (named === undefined || typeof named === "string")) {
        return [{ group: asText(one["group"]), kind, ...(named !== undefined && { name: named }) }];
      }
      // A name that cannot be read must not widen the grant to all names.
      problems.add(`spec.to[${i}]`, "want a kind, and a name that is text");
      return [];
    }),
  };
  return { kind: "ok", object, problems: problems.take() };
}
