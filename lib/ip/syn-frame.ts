// An Ethernet frame with a SYN in it: the first packet of a TCP connection (RFC 9293 §3.1).

import { type FrameEnds, ipFrame, uint16 } from "./ip-frame.ts";

export interface Syn extends Omit<FrameEnds, "sourceMac"> {
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Locally administered; nobody answers to it. */
const SOURCE_MAC = "02:00:00:00:00:01";
const TCP_BYTES = 20;
const SYN = 0x02;
const WINDOW = 1_024;

/** The whole frame. */
export function synFrame({ sourcePort, destinationPort, ...ends }: Syn): Uint8Array {
  const tcp = new Uint8Array(TCP_BYTES);
  tcp.set([...uint16(sourcePort), ...uint16(destinationPort)]);
  tcp.set([(TCP_BYTES / 4) << 4, SYN, ...uint16(WINDOW)], 12);
  const content = { protocol: 6, hops: 64, bytes: tcp, checksumAt: 16 };
  return ipFrame({ ...ends, sourceMac: SOURCE_MAC }, content);
}
