// Ethernet frames of one datagram or one SYN, made once and sent again and again with another
// source port: each port is a flow of its own to the kernel. IPv4 only. Pure.

import { type FrameEnds, ipFrame } from "../lib/ip/ip-frame.ts";

const TRANSPORT_AT = 14 + 20;
const TCP_BYTES = 20;
const UDP_BYTES = 8;
const PAYLOAD_BYTES = 18;
const CHECKSUM_AT = { syn: 16, udp: 6 } as const;
const PROTOCOL = { syn: 6, udp: 17 } as const;
const TCP_SYN = 0x02;
const TTL = 64;
const WINDOW = 65_535;

export interface FrameFacts extends FrameEnds {
  readonly kind: "syn" | "udp";
  readonly destinationPort: number;
}

/** A frame whose source port can be set. */
export interface Frame {
  readonly bytes: Uint8Array;
  setSourcePort(port: number): void;
}

export function makeFrame({ kind, destinationPort, ...ends }: FrameFacts): Frame {
  const content = kind === "syn" ? syn(destinationPort) : datagram(destinationPort);
  const checksumAt = CHECKSUM_AT[kind];
  const carried = { protocol: PROTOCOL[kind], hops: TTL, bytes: content, checksumAt };
  const bytes = ipFrame(ends, carried);
  const view = new DataView(bytes.buffer, TRANSPORT_AT);
  if (kind === "udp") {
    // A checksum of 0 is none.
    view.setUint16(checksumAt, 0);
    return { bytes, setSourcePort: (port) => view.setUint16(0, port) };
  }
  /** Of all words but the port's. */
  const sum = ~view.getUint16(checksumAt) & 0xffff;
  return {
    bytes,
    setSourcePort(port) {
      view.setUint16(0, port);
      view.setUint16(checksumAt, complement(sum + port));
    },
  };
}

function syn(destinationPort: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(TCP_BYTES));
  view.setUint16(2, destinationPort);
  view.setUint16(12, ((TCP_BYTES / 4) << 12) | TCP_SYN);
  view.setUint16(14, WINDOW);
  return new Uint8Array(view.buffer);
}

function datagram(destinationPort: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(UDP_BYTES + PAYLOAD_BYTES));
  view.setUint16(2, destinationPort);
  view.setUint16(4, UDP_BYTES + PAYLOAD_BYTES);
  return new Uint8Array(view.buffer);
}

/** The Internet checksum of the sum of two 16-bit words (RFC 1071). */
function complement(sum: number): number {
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
}
