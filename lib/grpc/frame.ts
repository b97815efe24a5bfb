// A message on the wire: one byte that says whether it is compressed, four of length, the message.
// A body of a unary call holds exactly one. Pure and total.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

/** In front of every message. */
export const FRAME_HEAD_BYTES = 5;

export type DecodedMessage =
  | { readonly kind: "ok"; readonly message: Uint8Array }
  | { readonly kind: "invalid"; readonly problem: string };

/** A message with its head. */
export function encodeMessage(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_BYTES + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEAD_BYTES);
  return frame;
}

/** Reads the body of a unary call. Never throws; the message is a view. */
export function decodeMessage(body: Uint8Array): DecodedMessage {
  if (body.length < FRAME_HEAD_BYTES) return invalid("the message is missing or its head cut off");
  if (body[0] !== 0) return invalid("the message is compressed, which was not offered");
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const length = view.getUint32(1);
  const present = body.length - FRAME_HEAD_BYTES;
  if (length > present) return invalid(`the message is cut off: ${present} of ${length} bytes`);
  if (length < present) return invalid("more than one message in a unary call");
  return { kind: "ok", message: body.subarray(FRAME_HEAD_BYTES) };
}

function invalid(problem: string): DecodedMessage {
  return { kind: "invalid", problem };
}
