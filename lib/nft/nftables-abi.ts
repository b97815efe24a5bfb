// Numbers of the nf_tables netlink interface (include/uapi/linux/netfilter/nf_tables.h) that the
// encoder and the decoder share. Numbers used in one place stand there.

import type { Place } from "./objects.ts";

const SUBSYSTEM = 10;

/** Message types, with the nf_tables subsystem in the upper byte. */
export const MESSAGE = {
  newTable: (SUBSYSTEM << 8) | 0,
  getTable: (SUBSYSTEM << 8) | 1,
  deleteTable: (SUBSYSTEM << 8) | 2,
  newChain: (SUBSYSTEM << 8) | 3,
  getChain: (SUBSYSTEM << 8) | 4,
  deleteChain: (SUBSYSTEM << 8) | 5,
  newRule: (SUBSYSTEM << 8) | 6,
  getRule: (SUBSYSTEM << 8) | 7,
  deleteRule: (SUBSYSTEM << 8) | 8,
  newSet: (SUBSYSTEM << 8) | 9,
  getSet: (SUBSYSTEM << 8) | 10,
  deleteSet: (SUBSYSTEM << 8) | 11,
  newElements: (SUBSYSTEM << 8) | 12,
  getElements: (SUBSYSTEM << 8) | 13,
  deleteElements: (SUBSYSTEM << 8) | 14,
  getGeneration: (SUBSYSTEM << 8) | 16,
  newObject: (SUBSYSTEM << 8) | 18,
  getObject: (SUBSYSTEM << 8) | 19,
  batchBegin: 0x10,
  batchEnd: 0x11,
} as const;
export const BATCH_RESOURCE_ID = SUBSYSTEM;

export const TABLE = { name: 1, flags: 2, userData: 6 } as const;
/** Bit of `TABLE.flags`. */
export const TABLE_DORMANT = 0x1;
export const POLICY = { drop: 0, accept: 1 } as const;
export const CHAIN = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
export const HOOK = { number: 1, priority: 2, device: 3 } as const;
export const RULE = { table: 1, chain: 2, expressions: 4 } as const;
export const SET = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  description: 9,
  id: 10,
  timeout: 11,
  gcInterval: 12,
  userData: 13,
} as const;
export const SET_DESCRIPTION = { size: 1, concatenation: 2 } as const;
/** A stateful object: the only sort that we make is a counter. */
export const OBJECT = { table: 1, name: 2, type: 3, data: 4 } as const;
export const OBJECT_TYPE_COUNTER = 1;
export const COUNTER = { bytes: 1, packets: 2 } as const;
export const ELEMENTS = { table: 1, set: 2, list: 3, setId: 4 } as const;
export const ELEMENT = { key: 1, data: 2, flags: 3, userData: 6, keyEnd: 10 } as const;
export const DATA = { value: 1, verdict: 2 } as const;
export const VERDICT = { code: 1, chain: 2 } as const;
export const EXPRESSION = { name: 1, data: 2 } as const;
/** Both list items and rule expressions are wrapped in type 1. */
export const LIST_ITEM = 1;

export const SET_FLAG = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  dynamic: 0x20,
  concatenation: 0x80,
} as const;
export const ELEMENT_FLAG_INTERVAL_END = 1;
export const DATA_TYPE_VERDICT = 0xffffff00;

/** User data of a set, in nft's numbering. */
export const SET_USER_DATA = {
  keyByteOrder: 0,
  dataByteOrder: 1,
  keyTypeof: 3,
  dataTypeof: 4,
  dataInterval: 6,
  comment: 7,
} as const;
export const ELEMENT_USER_DATA = { comment: 0, flags: 1 } as const;
export const TABLE_USER_DATA = { comment: 0 } as const;

/** NFPROTO_*; AF_INET and AF_INET6 are the same. */
export const FAMILY_NUMBER: Readonly<Record<Place, number>> = {
  ip: 2,
  netdev: 5,
  bridge: 7,
  ip6: 10,
};
