// Encodes tables, chains, and everything that is removed by name alone.

import type { NetlinkWriter } from "../netlink/attribute.ts";
import { beginMessage, endMessage, NLM_F_CREATE } from "../netlink/message.ts";
import { commentUserData, placeNumber, type Place } from "./encode-set.ts";
import {
  CHAIN,
  HOOK,
  MESSAGE,
  OBJECT,
  OBJECT_TYPE_COUNTER,
  POLICY,
  RULE,
  SET,
  TABLE,
  TABLE_USER_DATA,
} from "./nftables-abi.ts";
import type { ChainSpec, Change, Hook } from "./objects.ts";

const HOOK_NUMBER: Readonly<Record<Hook, number>> = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
  ingress: 0,
};
const REMOVAL = {
  "delete-table": MESSAGE.deleteTable,
  "delete-set": MESSAGE.deleteSet,
  "delete-chain": MESSAGE.deleteChain,
  "flush-chain": MESSAGE.deleteRule,
} as const;

export function encodeTable(
  writer: NetlinkWriter,
  place: Place,
  comment: string | undefined,
  sequence: number,
): void {
  const family = placeNumber(place);
  const message = beginMessage(writer, { type: MESSAGE.newTable, flags: 0, sequence, family });
  writer.string(TABLE.name, place.table);
  writer.u32(TABLE.flags, 0);
  if (comment !== undefined) {
    writer.bytes(TABLE.userData, commentUserData(TABLE_USER_DATA.comment, comment));
  }
  endMessage(writer, message);
}

export function encodeChain(
  writer: NetlinkWriter,
  place: Place,
  chain: ChainSpec,
  sequence: number,
): void {
  const message = beginMessage(writer, {
    type: MESSAGE.newChain,
    flags: NLM_F_CREATE,
    sequence,
    family: placeNumber(place),
  });
  writer.string(CHAIN.table, place.table);
  writer.string(CHAIN.name, chain.name);
  if (chain.base !== undefined) {
    writer.string(CHAIN.type, chain.base.type);
    writer.u32(CHAIN.policy, POLICY.accept);
    const hook = writer.begin(CHAIN.hook);
    writer.u32(HOOK.number, HOOK_NUMBER[chain.base.hook]);
    writer.u32(HOOK.priority, chain.base.priority);
    if (chain.base.device !== undefined) writer.string(HOOK.device, chain.base.device);
    writer.end(hook);
  }
  endMessage(writer, message);
}

/** Makes a counter that starts from nothing. */
export function encodeCounter(
  writer: NetlinkWriter,
  place: Place,
  counter: string,
  sequence: number,
): void {
  const message = beginMessage(writer, {
    type: MESSAGE.newObject,
    flags: NLM_F_CREATE,
    sequence,
    family: placeNumber(place),
  });
  writer.string(OBJECT.table, place.table);
  writer.string(OBJECT.name, counter);
  writer.u32(OBJECT.type, OBJECT_TYPE_COUNTER);
  writer.end(writer.begin(OBJECT.data));
  endMessage(writer, message);
}

/** Deletes a table, a set, a chain, or (flush) all rules of a chain. */
export function encodeRemoval(
  writer: NetlinkWriter,
  place: Place,
  removal: Extract<
    Change,
    { kind: "delete-table" | "delete-set" | "delete-chain" | "flush-chain" }
  >,
  sequence: number,
): void {
  const family = placeNumber(place);
  const type = REMOVAL[removal.kind];
  const message = beginMessage(writer, { type, flags: 0, sequence, family });
  writer.string(TABLE.name, place.table);
  if (removal.kind === "delete-set") writer.string(SET.name, removal.set);
  if (removal.kind === "delete-chain") writer.string(CHAIN.name, removal.chain);
  if (removal.kind === "flush-chain") writer.string(RULE.chain, removal.chain);
  endMessage(writer, message);
}
