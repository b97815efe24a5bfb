// Value types about the network and about where objects come from.

import { type Address, parseAddress } from "../../lib/ip/address.ts";
import { type Cidr, parseCidr } from "../../lib/ip/cidr.ts";
import type { NodePortAddresses } from "../model/node-facts.ts";
import { formatHostPort, type PartialHostPort, parseHostPort } from "./host-port.ts";
import {
  listType,
  type Read,
  readable,
  textual,
  unreadable,
  type ValueType,
} from "./value-type.ts";

/** A literal address; an empty flag means `0.0.0.0`, as kube-proxy reads it. */
export const addressType: ValueType<Address> = textual(
  "address",
  (text) => {
    const address = parseAddress(text === "" ? "0.0.0.0" : text);
    return address === undefined ? unreadable(text, "is not an IP address") : readable(address);
  },
  (value) => value,
);

export type ListenChoice =
  | { readonly kind: "off" }
  | { readonly kind: "at"; readonly address: PartialHostPort };

/** Where to listen; an empty flag turns the server off. */
export const listenType: ValueType<ListenChoice> = textual(
  "address:port",
  (text): Read<ListenChoice> => {
    if (text === "") return readable({ kind: "off" });
    const address = parseHostPort(text);
    if (address !== undefined) return readable({ kind: "at", address });
    return unreadable(text, "is not an address with a port; write 0.0.0.0:10256 or [::]:10256");
  },
  (value) => {
    if (value.kind === "off") return "";
    const { host, port } = value.address;
    return port === undefined ? host : formatHostPort({ host, port });
  },
);

/** One prefix, or a comma-separated pair of one per family; empty means none. */
export const clusterCidrType: ValueType<readonly Cidr[]> = textual(
  "prefix[,prefix]",
  (text): Read<readonly Cidr[]> => {
    if (text === "") return readable([]);
    const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
    const known = cidrs.filter((cidr) => cidr !== undefined);
    const families = new Set(known.map((cidr) => cidr.includes(":")));
    if (known.length === cidrs.length && families.size === cidrs.length) return readable(known);
    return unreadable(text, "is not one prefix or one per family; write 10.0.0.0/16,fd00::/48");
  },
  (value) => value.join(","),
);

const EVERY_ADDRESS: readonly Cidr[] = ["0.0.0.0/0", "::/0"];
const LOOPBACK: readonly Cidr[] = ["127.0.0.0/8", "::1/128"];

/** `primary`, or prefixes and the words `all` and `localhost`; an empty list means `primary`. */
export const nodePortAddressesType: ValueType<NodePortAddresses> = {
  name: "primary|prefix list",
  fromFlag: (texts) => parseNodePortAddresses(listType.fromFlag(texts)),
  fromField: (value) => parseNodePortAddresses(listType.fromField(value)),
  format: (value) => (value.kind === "primary" ? "primary" : value.cidrs.join(",")),
};

function parseNodePortAddresses(read: Read<readonly string[]>): Read<NodePortAddresses> {
  if (!read.ok) return read;
  const words = read.value;
  if (words.length === 0) return readable({ kind: "primary" });
  if (words.includes("primary")) {
    if (words.length === 1) return readable({ kind: "primary" });
    return unreadable(words, "mixes primary with other entries; use primary alone or prefixes");
  }
  const cidrs: Cidr[] = [];
  for (const word of words) {
    const cidr = parseCidr(word);
    if (word === "all") cidrs.push(...EVERY_ADDRESS);
    else if (word === "localhost") cidrs.push(...LOOPBACK);
    else if (cidr !== undefined) cidrs.push(cidr);
    else return unreadable(word, "is neither a prefix like 192.0.2.0/24 nor primary, all");
  }
  return readable({ kind: "cidrs", cidrs });
}

export type SourceChoice =
  | { readonly kind: "kube" }
  | { readonly kind: "directory"; readonly path: string };

/** `kube`, or `dir:` and a path. */
export const sourceType: ValueType<SourceChoice> = textual(
  "kube|dir:PATH",
  (text): Read<SourceChoice> => {
    if (text === "kube") return readable({ kind: "kube" });
    const path = text.startsWith("dir:") ? text.slice(4) : "";
    if (path !== "") return readable({ kind: "directory", path });
    return unreadable(text, "is not a source; use kube or dir:PATH");
  },
  (value) => (value.kind === "kube" ? "kube" : `dir:${value.path}`),
);
