// Encodes sets and their elements. User data is what nft writes, so that `nft list` prints keys,
// data and comments as text.

import assert from "node:assert/strict";
import { beginMessage, endMessage, NLM_F_CREATE } from "../netlink/message.ts";
import { type NetlinkWriter, nulTerminated } from "../netlink/attribute.ts";
import { encodeRange, nextKey, writeFields } from "./element-codec.ts";
import {
  byteOrderId,
  concatBytes,
  fieldFormat,
  fieldsLengthBytes,
  fieldsTypeId,
  typeofExpression,
  userData,
  userDataU32,
} from "./field.ts";
import {
  DATA,
  DATA_TYPE_VERDICT,
  ELEMENT,
  ELEMENT_FLAG_INTERVAL_END,
  ELEMENT_USER_DATA,
  ELEMENTS,
  FAMILY_NUMBER,
  LIST_ITEM,
  MESSAGE,
  SET,
  SET_DESCRIPTION,
  SET_FLAG,
  SET_USER_DATA,
} from "./nftables-abi.ts";
import type { Element, Family, Layer, SetSpec } from "./objects.ts";
import { encodeVerdict } from "./verdict-codec.ts";

/** nft's default of one second sweeps 250,000 entries for 0.8 % of a core. */
const GC_INTERVAL_MS = 10_000;
/** The element list is one attribute of 16 bits of length; an element takes at most ~400 bytes. */
const MAX_ELEMENTS = 400;
const MAX_LIST_BYTES = 60_000;
const MAX_COMMENT_BYTES = 127;
const INTERVAL_OPEN = 1;

/** Where a message belongs. */
export interface Place {
  readonly family: Family;
  readonly layer?: Layer;
  readonly table: string;
}

/** The kernel's number for the table's family. */
export function placeNumber({ family, layer }: Place): number {
  return FAMILY_NUMBER[layer ?? family];
}

/** Declares a set or a map. `id` is unique within the batch; `flags` are more SET_FLAGs. */
export function encodeSet(
  writer: NetlinkWriter,
  place: Place,
  set: SetSpec,
  id: number,
  sequence: number,
  flags = 0,
): void {
  const { family, table } = place;
  const message = beginMessage(writer, {
    type: MESSAGE.newSet,
    flags: NLM_F_CREATE,
    sequence,
    family: placeNumber(place),
  });
  writer.string(SET.table, table);
  writer.string(SET.name, set.name);
  writer.u32(SET.flags, setFlags(set) | flags);
  writer.u32(SET.keyType, fieldsTypeId(family, set.key));
  writer.u32(SET.keyLength, fieldsLengthBytes(family, set.key));
  if (set.data === "verdict") {
    writer.u32(SET.dataType, DATA_TYPE_VERDICT);
    writer.u32(SET.dataLength, 0);
  } else if (set.data !== undefined) {
    writer.u32(SET.dataType, fieldsTypeId(family, set.data));
    writer.u32(SET.dataLength, fieldsLengthBytes(family, set.data));
  }
  writer.u32(SET.id, id);
  encodeDescription(writer, family, set);
  if (set.dynamic !== undefined) {
    writer.u64(SET.timeout, set.dynamic.timeoutSeconds * 1000);
    writer.u32(SET.gcInterval, GC_INTERVAL_MS);
  }
  if (set.timeoutSeconds !== undefined) writer.u64(SET.timeout, set.timeoutSeconds * 1000);
  writer.bytes(SET.userData, setUserData(family, set));
  endMessage(writer, message);
}

/**
 * Encodes elements from `from` on, as many as one message holds.
 * @returns the index of the first element left for the next message
 */
export function encodeElements(
  writer: NetlinkWriter,
  place: Place,
  set: SetSpec,
  elements: readonly Element[],
  options: {
    readonly from: number;
    readonly sequence: number;
    readonly operation: "add" | "delete";
    /** Of a set that this batch declares and that has no name yet. */
    readonly id?: number;
  },
): number {
  const { from, sequence, operation, id } = options;
  const message = beginMessage(writer, {
    type: operation === "add" ? MESSAGE.newElements : MESSAGE.deleteElements,
    flags: operation === "add" ? NLM_F_CREATE : 0,
    sequence,
    family: placeNumber(place),
  });
  writer.string(ELEMENTS.table, place.table);
  writer.string(ELEMENTS.set, set.name);
  if (id !== undefined) writer.u32(ELEMENTS.setId, id);
  const list = writer.begin(ELEMENTS.list);
  let index = from;
  while (index < elements.length && index - from < MAX_ELEMENTS) {
    if (writer.length - list > MAX_LIST_BYTES) break;
    const element = elements[index];
    assert(element !== undefined);
    encodeElement(writer, place.family, set, element);
    index++;
  }
  writer.end(list);
  endMessage(writer, message);
  return index;
}

/** The comment of an object as one user-data item; `type` is the object's number for comments. */
export function commentUserData(type: number, comment: string): Uint8Array {
  const text = nulTerminated(comment);
  assert(text.length <= MAX_COMMENT_BYTES + 1, `nft comment over 127 bytes: "${comment}"`);
  return userData(type, text);
}

function setFlags(set: SetSpec): number {
  const isRanges = set.interval === true && set.key.length > 1;
  return (
    (set.data === undefined ? 0 : SET_FLAG.map) |
    (set.interval === true ? SET_FLAG.interval : 0) |
    (isRanges ? SET_FLAG.concatenation : 0) |
    (set.timeoutSeconds === undefined ? 0 : SET_FLAG.timeout) |
    (set.dynamic === undefined ? 0 : SET_FLAG.timeout | SET_FLAG.dynamic)
  );
}

function encodeDescription(writer: NetlinkWriter, family: Family, set: SetSpec): void {
  const isRanges = set.interval === true && set.key.length > 1;
  if (!isRanges && set.dynamic === undefined) return;
  const description = writer.begin(SET.description);
  if (set.dynamic !== undefined) writer.u32(SET_DESCRIPTION.size, set.dynamic.size);
  if (isRanges) {
    const concatenation = writer.begin(SET_DESCRIPTION.concatenation);
    for (const field of set.key) {
      const item = writer.begin(LIST_ITEM);
      writer.u32(1, fieldFormat(family, field).lengthBytes);
      writer.end(item);
    }
    writer.end(concatenation);
  }
  writer.end(description);
}

function setUserData(family: Family, set: SetSpec): Uint8Array {
  const { keyByteOrder, dataByteOrder, keyTypeof, dataTypeof, dataInterval, comment } =
    SET_USER_DATA;
  const items = [userDataU32(keyByteOrder, byteOrderId(family, set.key))];
  if (set.data !== undefined) items.push(userDataU32(dataByteOrder, byteOrderId(family, set.data)));
  items.push(userData(keyTypeof, typeofExpression(family, set.key)));
  if (set.data !== undefined) {
    items.push(userData(dataTypeof, typeofExpression(family, set.data)));
    items.push(userDataU32(dataInterval, 0));
  }
  if (set.comment !== undefined) items.push(commentUserData(comment, set.comment));
  return concatBytes(...items);
}

function encodeElement(
  writer: NetlinkWriter,
  family: Family,
  set: SetSpec,
  element: Element,
): void {
  if (set.interval === true) return encodeInterval(writer, family, set, element);
  const item = writer.begin(LIST_ITEM);
  const key = writer.begin(ELEMENT.key);
  const at = writer.reserve(DATA.value, fieldsLengthBytes(family, set.key));
  writeFields(family, set.key, element.key, writer.buffer, at);
  writer.end(key);
  encodeData(writer, family, set, element);
  encodeUserData(writer, element, false);
  writer.end(item);
}

/** One field: a start, and an end that is the first key after it. Several: first and last key. */
function encodeInterval(
  writer: NetlinkWriter,
  family: Family,
  set: SetSpec,
  element: Element,
): void {
  const { first, last } = encodeRange(family, set.key, element.key);
  const isRanges = set.key.length > 1;
  const end = isRanges ? undefined : nextKey(last);
  const item = writer.begin(LIST_ITEM);
  encodeKey(writer, ELEMENT.key, first);
  if (isRanges) encodeKey(writer, ELEMENT.keyEnd, last);
  encodeData(writer, family, set, element);
  encodeUserData(writer, element, !isRanges && end === undefined);
  writer.end(item);
  if (end === undefined) return;
  const endItem = writer.begin(LIST_ITEM);
  writer.u32(ELEMENT.flags, ELEMENT_FLAG_INTERVAL_END);
  encodeKey(writer, ELEMENT.key, end);
  writer.end(endItem);
}

export function encodeKey(writer: NetlinkWriter, type: number, value: Uint8Array): void {
  const key = writer.begin(type);
  writer.bytes(DATA.value, value);
  writer.end(key);
}

function encodeData(writer: NetlinkWriter, family: Family, set: SetSpec, element: Element): void {
  if (set.data === undefined || element.data === undefined) return;
  const data = writer.begin(ELEMENT.data);
  if (set.data === "verdict") encodeVerdict(writer, element.data);
  else {
    const at = writer.reserve(DATA.value, fieldsLengthBytes(family, set.data));
    writeFields(family, set.data, element.data, writer.buffer, at);
  }
  writer.end(data);
}

/** `isOpen` marks an interval that reaches the last key, as nft does to print it right. */
function encodeUserData(writer: NetlinkWriter, element: Element, isOpen: boolean): void {
  const { comment, flags } = ELEMENT_USER_DATA;
  if (element.comment !== undefined) {
    const text = commentUserData(comment, element.comment);
    const open = isOpen ? userDataU32(flags, INTERVAL_OPEN) : new Uint8Array(0);
    writer.bytes(ELEMENT.userData, concatBytes(text, open));
  } else if (isOpen) writer.bytes(ELEMENT.userData, userDataU32(flags, INTERVAL_OPEN));
}
