// The PROXY protocol's binary header, version 2: tells an endpoint who the client is, and whom it
// dialled. Source: HAProxy's proxy-protocol.txt, section 2.2.

import { addressBytes } from "../../lib/ip/address.ts";
import type { SocketAddress } from "../../lib/reactor/socket-address.ts";

const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const VERSION_AND_PROXY = 0x21;
const STREAM_OVER_IPV4 = 0x11;
const STREAM_OVER_IPV6 = 0x21;

/** Both addresses of one family, as those of one connection are. */
export function formatProxyHeader(source: SocketAddress, destination: SocketAddress): Buffer {
  const from = addressBytes(source.address);
  const to = addressBytes(destination.address);
  const body = Buffer.alloc(from.length + to.length + 4);
  body.set(from, 0);
  body.set(to, from.length);
  body.writeUInt16BE(source.port, from.length + to.length);
  body.writeUInt16BE(destination.port, from.length + to.length + 2);
  const head = Buffer.alloc(4);
  head[0] = VERSION_AND_PROXY;
  head[1] = from.length === 4 ? STREAM_OVER_IPV4 : STREAM_OVER_IPV6;
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([SIGNATURE, head, body]);
}
