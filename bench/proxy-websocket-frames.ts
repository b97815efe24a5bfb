// WebSocket (RFC 6455) as far as an echo needs it: text frames of one fixed size.

import { createHash } from "node:crypto";

const PAYLOAD_BYTES = 64;
const HEADER_BYTES = 2;
const MASK_BYTES = 4;
const FINAL_BINARY = 0x82;
const MASKED = 0x80;
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** From client to server: masked, with a key of zeros, so that its payload can be read. */
export const CLIENT_FRAME: Buffer = Buffer.concat([
  Buffer.from([FINAL_BINARY, MASKED | PAYLOAD_BYTES, 0, 0, 0, 0]),
  Buffer.alloc(PAYLOAD_BYTES, "x"),
]);
/** From server to client. */
export const SERVER_FRAME: Buffer = Buffer.concat([
  Buffer.from([FINAL_BINARY, PAYLOAD_BYTES]),
  CLIENT_FRAME.subarray(HEADER_BYTES + MASK_BYTES),
]);

/** The `Sec-WebSocket-Accept` of a key. */
export function acceptOf(key: string): string {
  return createHash("sha1")
    .update(key + ACCEPT_SUFFIX)
    .digest("base64");
}
