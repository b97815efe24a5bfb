import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkWriter } from "./attribute.ts";
import { addFlags, beginMessage, decodeMessages, endMessage, NLM_F_ACK } from "./message.ts";

const NLMSG_ERROR = 2;
const CAPPED_WITH_TEXT = 0x300;

test("an nfnetlink message has its length, family and resource id", () => {
  const writer = new NetlinkWriter();
  const header = { type: 0x10, flags: 0, sequence: 7, family: 2, resourceId: 10 };
  const at = beginMessage(writer, header);
  endMessage(writer, at);
  addFlags(writer, at, NLM_F_ACK);
  assert.equal(
    Buffer.from(writer.finish()).toString("hex"),
    "14000000" + "1000" + "0500" + "07000000" + "00000000" + "0200000a",
  );
});

/** An error answer as the kernel sends it with NETLINK_CAP_ACK and NETLINK_EXT_ACK. */
function errorAnswer(errno: number): Uint8Array {
  const text = Buffer.from("No such chain\0");
  const bytes = Buffer.alloc(16 + 4 + 16 + 4 + 16 + 8);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(NLMSG_ERROR, 4);
  bytes.writeUInt16LE(CAPPED_WITH_TEXT, 6);
  bytes.writeUInt32LE(9, 8);
  bytes.writeInt32LE(-errno, 16);
  bytes.writeUInt32LE(4_000, 20); // the refused message's length; only its header is echoed
  bytes.writeUInt16LE(4 + text.length, 36);
  bytes.writeUInt16LE(1, 38);
  text.copy(bytes, 40);
  bytes.writeUInt16LE(8, 56);
  bytes.writeUInt16LE(2, 58);
  bytes.writeUInt32LE(44, 60);
  return bytes;
}

test("an error has its errno, the kernel's sentence and the offset of the culprit", () => {
  assert.deepEqual(decodeMessages(errorAnswer(2)), [
    {
      kind: "error",
      flags: CAPPED_WITH_TEXT,
      sequence: 9,
      errno: 2,
      text: "No such chain",
      offset: 44,
    },
  ]);
});

test("errno 0 is an acknowledgement", () => {
  const [message] = decodeMessages(errorAnswer(0));
  assert(message?.kind === "error");
  assert.equal(message.errno, 0);
});

test("several messages are split, a cut-off last one is left out", () => {
  const two = Buffer.concat([errorAnswer(1), errorAnswer(2)]);
  assert.equal(decodeMessages(two).length, 2);
  assert.equal(decodeMessages(two.subarray(0, two.length - 1)).length, 1);
});

test("decoding never throws, at any truncation and whatever the bytes", () => {
  const whole = errorAnswer(2);
  for (let length = 0; length <= whole.length; length++) {
    const cut = whole.slice(0, length);
    decodeMessages(cut);
    if (length < 16) continue;
    new DataView(cut.buffer, cut.byteOffset).setUint32(0, length, true);
    decodeMessages(cut);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void decodeMessages(bytes)));
});
