// gateway.networking.x-k8s.io/v1alpha1 XMesh: where a mesh says what it supports.

import { asRecord, asText } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface XMesh {
  readonly kind: "XMesh";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  /** Whose mesh it is. */
  readonly controllerName: string;
  /** What its parametersRef names, as `kind name`; undefined when it has none. */
  readonly parameters: string | undefined;
}

/** Reads an XMesh. Never throws. */
export function parseXMesh(value: unknown): Parsed<XMesh> {
  const head = readHead("XMesh", "cluster", value);
  if (head.kind === "invalid") return head;
  const { name, uid, resourceVersion, metadata, spec, problems } = head;
  const { generation } = metadata;
  const reference = asRecord(spec["parametersRef"]);
  const object: XMesh = {
    kind: "XMesh",
    name,
    uid,
    resourceVersion,
    generation: typeof generation === "number" ? generation : 0,
    controllerName: asText(spec["controllerName"]),
    parameters:
      spec["parametersRef"] === undefined
        ? undefined
        : `${asText(reference["kind"])} ${asText(reference["name"])}`,
  };
  return { kind: "ok", object, problems: problems.take() };
}
