// What conntrack knows of a flow: two tuples, as the packets of each direction carry them.

import type { Address, AddressFamily } from "../ip/address.ts";

/** One direction of a flow, as a packet of that direction carries it. */
export interface ConntrackTuple {
  readonly source: Address;
  readonly destination: Address;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** One tracked flow. Un-NATed flows have the reply tuple that mirrors the original one. */
export interface ConntrackEntry {
  readonly family: AddressFamily;
  /** IP protocol number: 17 is UDP. */
  readonly protocol: number;
  /** What the client sent, before NAT. */
  readonly original: ConntrackTuple;
  /** What the backend answers, before the reverse NAT: its source is the endpoint. */
  readonly reply: ConntrackTuple;
  /** Conntrack zone of the original direction; 0 unless someone assigned one. */
  readonly zone: number;
  /** Conntrack zone of the reply direction: the same one, or 0 for zones of one direction. */
  readonly replyZone: number;
  /** IPS_* bits of the kernel; 0x20 is DNAT. */
  readonly status: number;
  /** A hash of the kernel's. Two flows that follow each other on one tuple may share it. */
  readonly id: number;
}

/** IP protocol numbers. */
export const protocolTcp = 6;
export const protocolUdp = 17;
export const protocolSctp = 132;
