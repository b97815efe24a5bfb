// core/v1 Pod: who has which address on a node.

import { parseAddress } from "../../ip/address.ts";
import { asList, asRecord, asText } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface Pod {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Empty while it is not scheduled. */
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** Canonical, at most one of each family; empty for one of the host's network, and when over. */
  readonly addresses: readonly string[];
}

const OVER = new Set(["Succeeded", "Failed"]);

/**
 * Reads a Pod. Never throws. Addresses of a pod that shares the host's network are the node's, and
 * those of one that is over may belong to another by now: neither is told.
 */
export function parsePod(value: unknown): Parsed<Pod> {
  const head = readHead("Pod", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, name, uid, resourceVersion, spec, problems } = head;
  const status = asRecord(asRecord(value)["status"]);
  const isApart = spec["hostNetwork"] !== true && !OVER.has(asText(status["phase"]));
  const listed = asList(status["podIPs"]).map((one) => asRecord(one)["ip"]);
  const addresses = [...listed, status["podIP"]].flatMap((one) => parseAddress(one) ?? []);
  const object: Pod = {
    kind: "Pod",
    namespace,
    name,
    uid,
    resourceVersion,
    nodeName: asText(spec["nodeName"]),
    serviceAccount: asText(spec["serviceAccountName"]) || "default",
    addresses: isApart ? [...new Set(addresses)].slice(0, 2) : [],
  };
  return { kind: "ok", object, problems: problems.take() };
}
