// Frames that a pod might forge: datagrams, ARP replies and what neighbour discovery says.

import { addressBytes } from "../../lib/ip/address.ts";
import { type FrameContent, ipFrame, macBytes } from "../../lib/ip/ip-frame.ts";

const UDP = 17;
const ICMPV6 = 58;
const ALL_NODES = "ff02::1";
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ALL_NODES_MAC = "33:33:00:00:00:01";
const OVERRIDE = 0x20;
/** Of both ends, at the start of a frame. */
const MACS_LENGTH = 12;

/** Whose frame it says it is, and where it goes on the wire. */
export interface Ends {
  readonly from: string;
  readonly to: string;
}

/** A datagram to port 9090. */
export function udpFrame(macs: Ends, addresses: Ends): Buffer {
  return datagramFrame(macs, addresses, { port: 9090, bytes: Buffer.from("evil") });
}

/** A frame inside a datagram, for whom VXLAN's default port in Linux belongs to (RFC 7348). */
export function vxlanFrame(macs: Ends, addresses: Ends, network: number, inner: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = 0x08;
  header.writeUIntBE(network, 4, 3);
  return datagramFrame(macs, addresses, { port: 8472, bytes: Buffer.concat([header, inner]) });
}

function datagramFrame(
  macs: Ends,
  addresses: Ends,
  { port, bytes }: { readonly port: number; readonly bytes: Buffer },
): Buffer {
  const udp = Buffer.concat([Buffer.alloc(8), bytes]);
  udp.writeUInt16BE(5555, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  return frame(macs, addresses, { protocol: UDP, hops: 64, bytes: udp, checksumAt: 6 });
}

/** The same frame behind a VLAN tag of number 0, which whoever gets it takes for none. */
export function taggedFrame(frame: Buffer, tag: "8021q" | "8021ad"): Buffer {
  const type = tag === "8021q" ? "8100" : "88a8";
  return Buffer.concat([
    frame.subarray(0, MACS_LENGTH),
    Buffer.from(`${type}0000`, "hex"),
    frame.subarray(MACS_LENGTH),
  ]);
}

/** An ARP reply to everybody: `address` is at `mac`. */
export function arpFrame(mac: string, address: string): Buffer {
  const arp = Buffer.alloc(28);
  arp.set([0, 1, 8, 0, 6, 4, 0, 2]);
  arp.set(macBytes(mac), 8);
  arp.set(addressBytes(address), 14);
  arp.set(macBytes(BROADCAST), 18);
  arp.set(addressBytes(address), 24);
  return Buffer.concat([macBytes(BROADCAST), macBytes(mac), Buffer.from("0806", "hex"), arp]);
}

/** A neighbour advertisement to everybody: `target` is at `mac`. */
export function advertisementFrame(mac: string, source: string, target: string): Buffer {
  const body = Buffer.alloc(32);
  body[0] = 136;
  body[4] = OVERRIDE;
  body.set(addressBytes(target), 8);
  body.set([2, 1], 24);
  body.set(macBytes(mac), 26);
  return icmpFrame(mac, source, body);
}

/** Asks one neighbour for its Ethernet address, or who can be reached by one from there. */
export function solicitationFrame(macs: Ends, addresses: Ends): Buffer {
  const body = Buffer.alloc(24);
  body[0] = 135;
  body.set(addressBytes(addresses.to), 8);
  return frame(macs, addresses, { protocol: ICMPV6, hops: 255, bytes: body, checksumAt: 2 });
}

/** An echo request. */
export function echoFrame(macs: Ends, addresses: Ends): Buffer {
  const body = Buffer.alloc(12);
  body[0] = 128;
  body.write("evil", 8);
  return frame(macs, addresses, { protocol: ICMPV6, hops: 64, bytes: body, checksumAt: 2 });
}

/** A router advertisement to everybody. */
export function routerFrame(mac: string, source: string): Buffer {
  const body = Buffer.alloc(16);
  body[0] = 134;
  body.writeUInt16BE(1800, 6);
  return icmpFrame(mac, source, body);
}

function icmpFrame(mac: string, source: string, body: Buffer): Buffer {
  const addresses = { from: source, to: ALL_NODES };
  const macs = { from: mac, to: ALL_NODES_MAC };
  return frame(macs, addresses, { protocol: ICMPV6, hops: 255, bytes: body, checksumAt: 2 });
}

function frame(macs: Ends, addresses: Ends, content: FrameContent): Buffer {
  const { from: source, to: destination } = addresses;
  const ends = { sourceMac: macs.from, destinationMac: macs.to, source, destination };
  return Buffer.from(ipFrame(ends, content));
}
