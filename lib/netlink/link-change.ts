// Encodes changes to links and their addresses (rtnetlink(7), include/uapi/linux/if_link.h). Pure.

import { type Address, addressBytes } from "../ip/address.ts";
import { NetlinkWriter } from "./attribute.ts";
import { endMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST } from "./message.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_NEWADDR = 20;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 1;
const RT_SCOPE_LINK = 253;
const HEADER_BYTES = 16;
const LINK_BYTES = 16; // struct ifinfomsg
const ADDRESS_BYTES = 8; // struct ifaddrmsg

/** Makes two links that are each other's far end, both down. EEXIST when a name is taken. */
export function encodeAddVethPair(
  name: string,
  peer: string,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(256);
  const create = NLM_F_CREATE | NLM_F_EXCL;
  const message = begin(writer, { type: RTM_NEWLINK, flags: create, sequence });
  writer.skip(LINK_BYTES);
  writer.string(IFLA_IFNAME, name);
  const info = writer.begin(IFLA_LINKINFO);
  writer.string(IFLA_INFO_KIND, "veth");
  const data = writer.begin(IFLA_INFO_DATA);
  const peerLink = writer.begin(VETH_INFO_PEER);
  writer.skip(LINK_BYTES);
  writer.string(IFLA_IFNAME, peer);
  for (const at of [peerLink, data, info]) writer.end(at);
  endMessage(writer, message);
  return writer.finish();
}

/** Sets a link up. */
export function encodeLinkUp(name: string, sequence: number): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(128);
  const message = begin(writer, { type: RTM_NEWLINK, flags: 0, sequence });
  const body = writer.skip(LINK_BYTES);
  writer.setUint32(body + 8, IFF_UP);
  writer.setUint32(body + 12, IFF_UP);
  writer.string(IFLA_IFNAME, name);
  endMessage(writer, message);
  return writer.finish();
}

/** Deletes a link, and its far end. ENODEV when there is none. */
export function encodeDeleteLink(name: string, sequence: number): Uint8Array<ArrayBuffer> {
  const writer = new NetlinkWriter(128);
  const message = begin(writer, { type: RTM_DELLINK, flags: 0, sequence });
  writer.skip(LINK_BYTES);
  writer.string(IFLA_IFNAME, name);
  endMessage(writer, message);
  return writer.finish();
}

/** An IPv4 address, and how many bits of it lead to the link. */
export interface LinkAddress {
  readonly address: Address;
  readonly prefixLength: number;
}

/** Gives a link one IPv4 address that nobody else will use as a source. EEXIST when it has it. */
export function encodeAddLinkAddress(
  index: number,
  { address, prefixLength }: LinkAddress,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const bytes = addressBytes(address);
  const writer = new NetlinkWriter(128);
  const create = NLM_F_CREATE | NLM_F_EXCL;
  const message = begin(writer, { type: RTM_NEWADDR, flags: create, sequence });
  const body = writer.skip(ADDRESS_BYTES);
  writer.buffer.set([2, prefixLength, 0, RT_SCOPE_LINK], body);
  writer.setUint32(body + 4, index);
  writer.bytes(IFA_LOCAL, bytes);
  writer.bytes(IFA_ADDRESS, bytes);
  endMessage(writer, message);
  return writer.finish();
}

function begin(
  writer: NetlinkWriter,
  header: { readonly type: number; readonly flags: number; readonly sequence: number },
): number {
  const at = writer.skip(HEADER_BYTES);
  writer.setUint16(at + 4, header.type);
  writer.setUint16(at + 6, NLM_F_REQUEST | NLM_F_ACK | header.flags);
  writer.setUint32(at + 8, header.sequence);
  return at;
}
