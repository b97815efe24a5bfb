// networking.k8s.io/v1 ServiceCIDR: the ranges ClusterIPs come from.

import { parseCidr } from "../../ip/cidr.ts";
import { asList, formatValue } from "./fields.ts";
import { readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface ServiceCidr {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly cidrs: readonly string[];
}

/** Reads a ServiceCIDR. Never throws; a bad prefix is dropped with a problem. */
export function parseServiceCidr(value: unknown): Parsed<ServiceCidr> {
  const head = readHead("ServiceCIDR", "cluster", value);
  if (head.kind === "invalid") return head;
  const { name, uid, resourceVersion, problems } = head;
  const cidrs = asList(head.spec["cidrs"]).flatMap((item, i) => {
    const cidr = parseCidr(item);
    if (cidr !== undefined) return [cidr];
    const got = formatValue(item);
    problems.add(`spec.cidrs[${i}]`, `want a prefix like 10.96.0.0/16: got ${got}`);
    return [];
  });
  const object: ServiceCidr = { kind: "ServiceCIDR", name, uid, resourceVersion, cidrs };
  return { kind: "ok", object, problems: problems.take() };
}
