// Says in nft's own words which change of a batch the kernel refused.

import { decodeAttributes } from "../netlink/attribute.ts";
import { errnoName } from "../sys/ffi.ts";
import type { Batch, Origin } from "./encode.ts";
import type { Answer } from "./nft-session.ts";
import { ELEMENTS } from "./nftables-abi.ts";
import { type Change, NftError } from "./objects.ts";
import { formatChange } from "./text.ts";

const HEADERS_BYTES = 20;
const ATTRIBUTE_HEADER_BYTES = 4;

/** @param bytes the batch as it was sent */
export function describeRefusal(batch: Batch, bytes: Uint8Array, refusal: Answer): NftError {
  const origin = batch.origins[refusal.sequence];
  const action = origin === undefined ? "commit an nft batch" : describe(origin, bytes, refusal);
  const detail = refusal.text === undefined ? {} : { detail: refusal.text };
  return new NftError(action, errnoName(refusal.errno), detail);
}

function describe(origin: Origin, bytes: Uint8Array, refusal: Answer): string {
  const change = narrow(origin, bytes, refusal);
  return formatChange(origin.transaction, change).replace(/\s+/g, " ");
}

/** The one element that was refused, when the kernel pointed at it; else the message's first. */
function narrow(origin: Origin, bytes: Uint8Array, refusal: Answer): Change {
  const { change, from } = origin;
  if (change.kind !== "add-elements" && change.kind !== "delete-elements") return change;
  const item = itemAt(bytes, refusal) ?? 0;
  // Each element of a one-field interval set is two items: its start and its end.
  const isPaired = change.set.interval === true && change.set.key.length === 1;
  const index = from + (isPaired ? item >> 1 : item);
  return change.kind === "add-elements"
    ? { ...change, elements: change.elements.slice(index, index + 1) }
    : { ...change, keys: change.keys.slice(index, index + 1) };
}

/** Which list item of the refused message lies at the offset that the kernel named. */
function itemAt(bytes: Uint8Array, refusal: Answer): number | undefined {
  const message = messageOf(bytes, refusal.sequence);
  if (message === undefined || refusal.offset === undefined) return undefined;
  const target = message.byteOffset + refusal.offset;
  const list = decodeAttributes(message.subarray(HEADERS_BYTES)).find(
    ({ type }) => type === ELEMENTS.list,
  );
  if (list === undefined) return undefined;
  const index = decodeAttributes(list.value).findIndex(
    ({ value }) =>
      target >= value.byteOffset - ATTRIBUTE_HEADER_BYTES &&
      target < value.byteOffset + value.length,
  );
  return index < 0 ? undefined : index;
}

function messageOf(bytes: Uint8Array, sequence: number): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + HEADERS_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (view.getUint32(at + 8, true) === sequence) return bytes.subarray(at, at + length);
    at += Math.max(length, HEADERS_BYTES);
  }
  return undefined;
}
