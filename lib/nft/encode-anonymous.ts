// Encodes the sets that rules bring along: they have no name, belong to one rule and never change.

import { beginMessage, endMessage, NLM_F_CREATE } from "../netlink/message.ts";
import type { NetlinkWriter } from "../netlink/attribute.ts";
import { encodeElements, encodeKey, encodeSet, type Place, placeNumber } from "./encode-set.ts";
import type { SetReference } from "./expression.ts";
import { byteOrderId, concatBytes, fieldFormat, userData, userDataU32 } from "./field.ts";
import { fieldOf } from "./encode-key.ts";
import {
  ELEMENT,
  ELEMENTS,
  LIST_ITEM,
  MESSAGE,
  SET,
  SET_DESCRIPTION,
  SET_FLAG,
  SET_USER_DATA,
} from "./nftables-abi.ts";
import type { SetSpec, Statement } from "./objects.ts";

/** The kernel puts a number for `%d`. */
const ANONYMOUS_SET = "__set%d";
const FLAGS = SET_FLAG.anonymous | SET_FLAG.constant;
const PROTOCOLS = [6, 17, 132] as const; // tcp, udp, sctp

/**
 * Declares `{ tcp, udp, sctp }`.
 * @param next the sequence number of each message
 */
export function encodeProtocolSet(
  writer: NetlinkWriter,
  place: Place,
  id: number,
  next: () => number,
): SetReference {
  const header = { flags: NLM_F_CREATE, family: placeNumber(place) };
  const { typeId, lengthBytes, expression } = fieldFormat(place.family, "meta l4proto");
  const message = beginMessage(writer, { ...header, type: MESSAGE.newSet, sequence: next() });
  writer.string(SET.table, place.table);
  writer.string(SET.name, ANONYMOUS_SET);
  writer.u32(SET.flags, FLAGS);
  writer.u32(SET.keyType, typeId);
  writer.u32(SET.keyLength, lengthBytes);
  writer.u32(SET.id, id);
  const description = writer.begin(SET.description);
  writer.u32(SET_DESCRIPTION.size, PROTOCOLS.length);
  writer.end(description);
  const order = userDataU32(
    SET_USER_DATA.keyByteOrder,
    byteOrderId(place.family, ["meta l4proto"]),
  );
  writer.bytes(SET.userData, concatBytes(order, userData(SET_USER_DATA.keyTypeof, expression)));
  endMessage(writer, message);
  encodeProtocols(writer, place, id, next());
  return { name: ANONYMOUS_SET, id };
}

/**
 * Declares the set of a list of intervals.
 * @param next the sequence number of each message
 */
export function encodeListSet(
  writer: NetlinkWriter,
  place: Place,
  id: number,
  { key, elements }: Extract<Statement, { kind: "in-list" }>,
  next: () => number,
): SetReference {
  const set: SetSpec = { name: ANONYMOUS_SET, key: key.map(fieldOf), interval: true };
  encodeSet(writer, place, set, id, next(), FLAGS);
  const keys = elements.map((text) => ({ key: text }));
  for (let from = 0; from < keys.length; ) {
    const options = { from, sequence: next(), operation: "add", id } as const;
    from = encodeElements(writer, place, set, keys, options);
  }
  return { name: ANONYMOUS_SET, id };
}

function encodeProtocols(writer: NetlinkWriter, place: Place, id: number, sequence: number): void {
  const family = placeNumber(place);
  const header = { type: MESSAGE.newElements, flags: NLM_F_CREATE, sequence, family };
  const message = beginMessage(writer, header);
  writer.string(ELEMENTS.table, place.table);
  writer.string(ELEMENTS.set, ANONYMOUS_SET);
  writer.u32(ELEMENTS.setId, id);
  const list = writer.begin(ELEMENTS.list);
  for (const protocol of PROTOCOLS) {
    const item = writer.begin(LIST_ITEM);
    encodeKey(writer, ELEMENT.key, Uint8Array.of(protocol));
    writer.end(item);
  }
  writer.end(list);
  endMessage(writer, message);
}
