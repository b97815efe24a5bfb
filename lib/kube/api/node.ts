// core/v1 Node: the fields Innermesh reads, checked at the edge.

import { parseAddress } from "../../ip/address.ts";
import { parseCidr } from "../../ip/cidr.ts";
import { asList, asRecord, asText, formatValue, textRecord } from "./fields.ts";
import { type Head, readHead } from "./head.ts";
import type { Parsed } from "./parsed.ts";

export interface Node {
  readonly kind: "Node";
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  /** InternalIP and ExternalIP addresses, canonical, in the object's order. */
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  readonly podCIDRs: readonly string[];
  readonly taintKeys: readonly string[];
  readonly deleting: boolean;
}

/** Reads a Node. Never throws; a bad address or prefix is dropped with a problem. */
export function parseNode(value: unknown): Parsed<Node> {
  const head = readHead("Node", "cluster", value);
  if (head.kind === "invalid") return head;
  const { metadata, spec } = head;
  const object: Node = {
    kind: "Node",
    name: head.name,
    uid: head.uid,
    resourceVersion: head.resourceVersion,
    labels: textRecord(metadata["labels"]),
    addresses: readAddresses(head),
    podCIDRs: readPodCidrs(head),
    taintKeys: asList(spec["taints"]).flatMap((taint) => {
      const key = asText(asRecord(taint)["key"]);
      return key === "" ? [] : [key];
    }),
    deleting: typeof metadata["deletionTimestamp"] === "string",
  };
  return { kind: "ok", object, problems: head.problems.take() };
}

/** Host names and DNS names among the addresses are of no use to packets. */
function readAddresses({ status, problems }: Head): Node["addresses"] {
  return asList(status["addresses"]).flatMap((item, i) => {
    const { type, address: value } = asRecord(item);
    if (type !== "InternalIP" && type !== "ExternalIP") return [];
    const address = parseAddress(value);
    if (address !== undefined) return [{ type, address }];
    const field = `status.addresses[${i}].address`;
    problems.add(field, `want an IP address: got ${formatValue(value)}`);
    return [];
  });
}

function readPodCidrs({ spec, problems }: Head): readonly string[] {
  const list = asList(spec["podCIDRs"]);
  const values = list.length > 0 ? list : [spec["podCIDR"]].filter((v) => asText(v) !== "");
  return values.flatMap((value, i) => {
    const cidr = parseCidr(value);
    if (cidr !== undefined) return [cidr];
    const got = formatValue(value);
    problems.add(`spec.podCIDRs[${i}]`, `want a prefix like 10.1.0.0/24: got ${got}`);
    return [];
  });
}
