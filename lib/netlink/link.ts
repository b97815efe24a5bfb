// The links (interfaces) of this network namespace, and word of every change to them.

import {
  attributeAt,
  attributeRange,
  type DumpProgress,
  type Range,
  readMessages,
} from "./dump-reader.ts";
import { type WatchOptions, watchLevel } from "./level-watch.ts";
import { encodeRouteDump } from "./route-codec.ts";
import { dumpWhole } from "./route-dump.ts";

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge` and so on; empty for hardware and loopback. */
  readonly kind: string;
  /** The Ethernet address as `02:71:00:00:01:02`; empty without one. */
  readonly address: string;
  /** The index of the bridge or bond that it is a port of. */
  readonly master?: number;
  /** Its other end, in another network namespace: that namespace's number here, and its own. */
  readonly peer?: { readonly namespace: number; readonly index: number };
}

/** Numbers of include/uapi/linux/rtnetlink.h and if_link.h */
const RTM_NEWLINK = 16;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const LINK_BYTES = 16; // struct ifinfomsg
const ETHERNET_BYTES = 6;
const RTMGRP_LINK = 1;

export interface LinkChunk extends DumpProgress {
  readonly links: readonly Link[];
}

/** Lists all links, in the order of their numbers. @throws RouteError */
export async function listLinks(): Promise<readonly Link[]> {
  const request = (sequence: number): Uint8Array => encodeRouteDump("links", sequence);
  const chunks = await dumpWhole("links", request, decodeLinkChunk);
  return chunks.flatMap(({ links }) => links).sort((a, b) => a.index - b.index);
}

/** Watches links until the signal aborts; see `watchLevel`. */
export function watchLinks(options: WatchOptions<readonly Link[]>): Promise<void> {
  return watchLevel("links", { groups: RTMGRP_LINK, read: listLinks }, options);
}

/** Reads what one receive returned for the request of that sequence number. Never throws. */
export function decodeLinkChunk(bytes: Uint8Array, sequence: number): LinkChunk {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const links: Link[] = [];
  const progress = readMessages(view, sequence, (type, payload) => {
    if (type !== RTM_NEWLINK) return true;
    const link = decodeLink(view, payload);
    if (link !== undefined) links.push(link);
    return link !== undefined;
  });
  return { links, ...progress };
}

function decodeLink(view: DataView, { start, end }: Range): Link | undefined {
  if (start + LINK_BYTES > end) return undefined;
  const attributes = { start: start + LINK_BYTES, end };
  const name = textAt(view, attributeRange(view, attributes, IFLA_IFNAME));
  if (name === "") return undefined;
  const info = attributeRange(view, attributes, IFLA_LINKINFO);
  const kind = info === undefined ? undefined : attributeRange(view, info, IFLA_INFO_KIND);
  const number = (at: number): number => view.getInt32(at, true);
  const namespace = attributeAt(view, attributes, IFLA_LINK_NETNSID, 4);
  const far = attributeAt(view, attributes, IFLA_LINK, 4);
  const master = attributeAt(view, attributes, IFLA_MASTER, 4);
  return {
    index: view.getInt32(start + 4, true),
    name,
    kind: textAt(view, kind),
    address: ethernetAddress(view, attributeRange(view, attributes, IFLA_ADDRESS)),
    ...(master < 0 ? {} : { master: view.getUint32(master, true) }),
    ...(namespace < 0 || far < 0
      ? {}
      : { peer: { namespace: number(namespace), index: number(far) } }),
  };
}

function ethernetAddress(view: DataView, range: Range | undefined): string {
  if (range === undefined || range.end - range.start !== ETHERNET_BYTES) return "";
  const bytes = new Uint8Array(view.buffer, view.byteOffset + range.start, ETHERNET_BYTES);
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Up to its NUL; empty without one. */
function textAt(view: DataView, range: Range | undefined): string {
  let text = "";
  for (let at = range?.start ?? 0; at < (range?.end ?? 0); at++) {
    const code = view.getUint8(at);
    if (code === 0) break;
    text += String.fromCharCode(code);
  }
  return text;
}
