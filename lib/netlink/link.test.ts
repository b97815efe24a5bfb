import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NetlinkWriter } from "./attribute.ts";
import { decodeLinkChunk } from "./link.ts";

const RTM_NEWLINK = 16;

/** A message as the kernel sends it, cut down to the attributes that matter. */
function message(write: (writer: NetlinkWriter) => void): Uint8Array {
  const writer = new NetlinkWriter();
  writer.skip(32);
  writer.setUint16(4, RTM_NEWLINK);
  writer.setUint32(8, 5);
  writer.setUint32(20, 7);
  write(writer);
  writer.setUint32(0, writer.length);
  return writer.finish();
}

const port = message((writer) => {
  writer.string(3, "veth-1");
  writer.bytes(1, Uint8Array.of(2, 0x71, 0, 0, 1, 0xff));
  writer.setUint32(writer.reserve(10, 4), 3);
  const info = writer.begin(18);
  writer.string(1, "veth");
  writer.end(info);
});

test("a link is read with its kind, its Ethernet address and its bridge", () => {
  const { links, malformed } = decodeLinkChunk(port, 5);
  assert.equal(malformed, 0);
  assert.deepEqual(links, [
    { index: 7, name: "veth-1", kind: "veth", address: "02:71:00:00:01:ff", master: 3 },
  ]);
});

test("a link without kind, address and bridge is read as well", () => {
  const tunnel = message((writer) => {
    writer.string(3, "tun0");
    writer.bytes(1, Uint8Array.of(10, 0, 0, 1));
  });
  assert.deepEqual(decodeLinkChunk(tunnel, 5).links, [
    { index: 7, name: "tun0", kind: "", address: "" },
  ]);
});

test("no truncation and no noise makes the decoder throw", () => {
  for (let length = 0; length <= port.length; length++) {
    decodeLinkChunk(port.subarray(0, length), 5);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      const { links } = decodeLinkChunk(
        message((writer) => {
          const at = writer.skip((noise.length + 3) & ~3);
          writer.buffer.set(noise, at);
        }),
        5,
      );
      assert.ok(links.length <= 1);
    }),
  );
});
