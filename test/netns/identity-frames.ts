// Frames that a pod might forge: datagrams, ARP replies and what neighbour discovery says.

import { bytesOf, checksum } from "./raw-frame.ts";

const UDP = 17;
const ICMPV6 = 58;
const ALL_NODES = "ff02::1";
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ALL_NODES_MAC = "33:33:00:00:00:01";
const OVERRIDE = 0x20;

/** Whose frame it says it is, and where it goes on the wire. */
export interface Ends {
  readonly from: string;
  readonly to: string;
}

/** A datagram to port 9090. */
export function udpFrame(macs: Ends, addresses: Ends): Buffer {
  const udp = Buffer.alloc(12);
  udp.writeUInt16BE(5555, 0);
  udp.writeUInt16BE(9090, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.write("evil", 8);
  udp.writeUInt16BE(sum(addresses, UDP, udp), 6);
  return packet(macs, addresses, { protocol: UDP, hops: 64, content: udp });
}

/** An ARP reply to everybody: `address` is at `mac`. */
export function arpFrame(mac: string, address: string): Buffer {
  const arp = Buffer.alloc(28);
  arp.set([0, 1, 8, 0, 6, 4, 0, 2]);
  arp.set(macBytes(mac), 8);
  arp.set(bytesOf(address), 14);
  arp.set(macBytes(BROADCAST), 18);
  arp.set(bytesOf(address), 24);
  return Buffer.concat([macBytes(BROADCAST), macBytes(mac), Buffer.from("0806", "hex"), arp]);
}

/** A neighbour advertisement to everybody: `target` is at `mac`. */
export function advertisementFrame(mac: string, source: string, target: string): Buffer {
  const body = Buffer.alloc(32);
  body[0] = 136;
  body[4] = OVERRIDE;
  body.set(bytesOf(target), 8);
  body.set([2, 1], 24);
  body.set(macBytes(mac), 26);
  return icmpFrame(mac, source, body);
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
  body.writeUInt16BE(sum(addresses, ICMPV6, body), 2);
  const macs = { from: mac, to: ALL_NODES_MAC };
  return packet(macs, addresses, { protocol: ICMPV6, hops: 255, content: body });
}

function packet(
  macs: Ends,
  addresses: Ends,
  { protocol, hops, content }: { protocol: number; hops: number; content: Buffer },
): Buffer {
  const [from, to] = [bytesOf(addresses.from), bytesOf(addresses.to)];
  const ether = Buffer.concat([macBytes(macs.to), macBytes(macs.from)]);
  if (from.length === 4) {
    const header = Buffer.alloc(20);
    header.set([0x45, 0]);
    header.writeUInt16BE(20 + content.length, 2);
    header.set([hops, protocol], 8);
    header.set(from, 12);
    header.set(to, 16);
    header.writeUInt16BE(checksum([header]), 10);
    return Buffer.concat([ether, Buffer.from("0800", "hex"), header, content]);
  }
  const header = Buffer.alloc(8);
  header[0] = 0x60;
  header.writeUInt16BE(content.length, 4);
  header.set([protocol, hops], 6);
  return Buffer.concat([ether, Buffer.from("86dd", "hex"), header, from, to, content]);
}

function sum({ from, to }: Ends, protocol: number, content: Buffer): number {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(content.length, 0);
  pseudo.writeUInt32BE(protocol, 4);
  return checksum([bytesOf(from), bytesOf(to), pseudo, content]);
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}
