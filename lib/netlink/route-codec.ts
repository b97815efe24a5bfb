// Encodes the two rtnetlink dumps Innermesh asks for and decodes their answers. Pure and total.

import { type Address, type AddressFamily, formatAddress } from "../ip/address.ts";
import { attributeAt, type DumpProgress, type Range, readMessages } from "./dump-reader.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "./message.ts";

export type AddressScope = "global" | "site" | "link" | "host" | "nowhere";

/** An address as the kernel lists it: with the interface's number, not its name. */
export interface RawAddress {
  readonly family: AddressFamily;
  readonly address: Address;
  readonly prefixLength: number;
  readonly interfaceIndex: number;
  readonly scope: AddressScope;
}

export interface RouteChunk extends DumpProgress {
  readonly addresses: readonly RawAddress[];
  /** Interface index → name. */
  readonly links: ReadonlyMap<number, string>;
}

/** Numbers of include/uapi/linux/rtnetlink.h, if_link.h and if_addr.h */
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFLA_EXT_MASK = 29;
const RTEXT_FILTER_SKIP_STATS = 1 << 3;
const IFA_ADDRESS = 1; // the peer's on a point-to-point link
const IFA_LOCAL = 2;
const AF_INET = 2;
const AF_INET6 = 10;

const HEADER_BYTES = 16;
const LINK_BYTES = 16; // struct ifinfomsg
const ADDRESS_BYTES = 8; // struct ifaddrmsg

/** Asks for every interface, or every address of both families. */
export function encodeRouteDump(
  what: "links" | "addresses",
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const body = what === "links" ? LINK_BYTES + 8 : ADDRESS_BYTES;
  const bytes = new Uint8Array(HEADER_BYTES + body);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, what === "links" ? RTM_GETLINK : RTM_GETADDR, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true);
  view.setUint32(8, sequence, true);
  if (what === "links") {
    view.setUint16(HEADER_BYTES + LINK_BYTES, 8, true);
    view.setUint16(HEADER_BYTES + LINK_BYTES + 2, IFLA_EXT_MASK, true);
    view.setUint32(HEADER_BYTES + LINK_BYTES + 4, RTEXT_FILTER_SKIP_STATS, true);
  }
  return bytes;
}

/** Reads what one receive returned for the request of that sequence number. Never throws. */
export function decodeRouteChunk(bytes: Uint8Array, sequence: number): RouteChunk {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const addresses: RawAddress[] = [];
  const links = new Map<number, string>();
  const progress = readMessages(view, sequence, (type, payload) => {
    if (type === RTM_NEWLINK) return decodeLink(view, payload, links);
    const address = type === RTM_NEWADDR ? decodeAddress(view, payload) : undefined;
    if (address === "other-family") return true;
    if (address !== undefined) addresses.push(address);
    return address !== undefined;
  });
  return { addresses, links, ...progress };
}

function decodeLink(view: DataView, { start, end }: Range, links: Map<number, string>): boolean {
  const name = attributeAt(view, { start: start + LINK_BYTES, end }, IFLA_IFNAME, 1);
  if (start + LINK_BYTES > end || name < 0) return false;
  let text = "";
  for (let at = name; at < end && view.getUint8(at) !== 0; at++) {
    text += String.fromCharCode(view.getUint8(at));
  }
  links.set(view.getInt32(start + 4, true), text);
  return true;
}

function decodeAddress(
  view: DataView,
  { start, end }: Range,
): RawAddress | "other-family" | undefined {
  if (start + ADDRESS_BYTES > end) return undefined;
  const number = view.getUint8(start);
  if (number !== AF_INET && number !== AF_INET6) return "other-family";
  const length = number === AF_INET ? 4 : 16;
  const attributes = { start: start + ADDRESS_BYTES, end };
  const local = attributeAt(view, attributes, IFA_LOCAL, length);
  const at = local >= 0 ? local : attributeAt(view, attributes, IFA_ADDRESS, length);
  if (at < 0) return undefined;
  return {
    family: number === AF_INET ? "ip" : "ip6",
    address: formatAddress(new Uint8Array(view.buffer, view.byteOffset + at, length)),
    prefixLength: view.getUint8(start + 1),
    interfaceIndex: view.getUint32(start + 4, true),
    scope: scopeOf(view.getUint8(start + 3)),
  };
}

/** Numbers between the named ones exist only by hand in rt_scopes; they count as the wider one. */
function scopeOf(number: number): AddressScope {
  if (number < 200) return "global";
  if (number < 253) return "site";
  if (number === 253) return "link";
  return number === 254 ? "host" : "nowhere";
}
