// Netlink messages (RFC 3549): a 16-byte header, then a payload. nfnetlink begins its payload with
// 4 bytes more: family, version, resource id. Pure; `socket.ts` moves the bytes.

import { findAttribute, type NetlinkWriter, readString } from "./attribute.ts";

const HEADER_BYTES = 16;
export const NFNETLINK_HEADER_BYTES = 4;

/** Message flags (include/uapi/linux/netlink.h). */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFSET = 2;

export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** nfnetlink: AF_INET 2, AF_INET6 10, 0 for all. */
  readonly family: number;
  /** nfnetlink resource id: the subsystem in batch markers, else 0. */
  readonly resourceId?: number;
}

/** Opens an nfnetlink message. @returns what `endMessage` wants */
export function beginMessage(writer: NetlinkWriter, header: MessageHeader): number {
  const at = writer.skip(HEADER_BYTES + NFNETLINK_HEADER_BYTES);
  writer.setUint16(at + 4, header.type);
  writer.setUint16(at + 6, header.flags | NLM_F_REQUEST);
  writer.setUint32(at + 8, header.sequence);
  const resource = header.resourceId ?? 0;
  writer.buffer.set([header.family, 0, resource >> 8, resource & 0xff], at + HEADER_BYTES);
  return at;
}

/** Adds flags to a message already written, given what `beginMessage` returned. */
export function addFlags(writer: NetlinkWriter, at: number, flags: number): void {
  writer.buffer[at + 6] = (writer.buffer[at + 6] ?? 0) | flags;
}

/** Closes a message: writes its length. */
export function endMessage(writer: NetlinkWriter, at: number): void {
  writer.setUint32(at, writer.length - at);
}

/** One received message. `error` answers a request: errno 0 acknowledges it. */
export type Message =
  | {
      readonly kind: "data";
      readonly type: number;
      readonly flags: number;
      readonly sequence: number;
      /** Everything after the netlink header. */
      readonly payload: Uint8Array;
    }
  | {
      readonly kind: "error";
      readonly flags: number;
      readonly sequence: number;
      readonly errno: number;
      /** The kernel's own sentence (extended ACK). */
      readonly text?: string;
      /** Where in the refused message the offending attribute starts. */
      readonly offset?: number;
    }
  | {
      readonly kind: "done";
      readonly flags: number;
      readonly sequence: number;
      readonly errno: number;
    };

/** Splits what one receive returned. Never throws: stops at the first that does not fit. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    const type = view.getUint16(at + 4, true);
    const flags = view.getUint16(at + 6, true);
    const sequence = view.getUint32(at + 8, true);
    const payload = bytes.subarray(at + HEADER_BYTES, at + length);
    if (type === NLMSG_ERROR) messages.push(decodeError(payload, flags, sequence));
    else if (type === NLMSG_DONE) {
      messages.push({ kind: "done", flags, sequence, errno: errnoAt(payload) });
    } else messages.push({ kind: "data", type, flags, sequence, payload });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The payload: errno, the header of the request, its payload unless capped, then attributes. */
function decodeError(payload: Uint8Array, flags: number, sequence: number): Message {
  const extra = (flags & NLM_F_ACK_TLVS) === 0 ? undefined : extendedAck(payload, flags);
  return { kind: "error", flags, sequence, errno: errnoAt(payload), ...extra };
}

function extendedAck(payload: Uint8Array, flags: number): { text?: string; offset?: number } {
  if (payload.length < 4 + HEADER_BYTES) return {};
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const echoed = (flags & NLM_F_CAPPED) === 0 ? view.getUint32(4, true) : HEADER_BYTES;
  if (echoed > payload.length - 4) return {};
  const attributes = payload.subarray(4 + ((echoed + 3) & ~3));
  const text = readString(findAttribute(attributes, NLMSGERR_ATTR_MSG));
  const offset = readHostU32(findAttribute(attributes, NLMSGERR_ATTR_OFFSET));
  return { ...(text === undefined ? {} : { text }), ...(offset === undefined ? {} : { offset }) };
}

function readHostU32(value: Uint8Array | undefined): number | undefined {
  if (value?.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}

/** Netlink sends errno negated; a cut-off answer counts as EIO. */
function errnoAt(payload: Uint8Array): number {
  if (payload.length < 4) return 5;
  return -new DataView(payload.buffer, payload.byteOffset, 4).getInt32(0, true) | 0;
}
