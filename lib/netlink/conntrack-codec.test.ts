import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeConntrackChunk, decodeConntrackCount } from "./conntrack-codec.ts";
import type { ConntrackEntry } from "./conntrack-entry.ts";
import {
  encodeConntrackCreate,
  encodeConntrackDelete,
  encodeConntrackDump,
} from "./conntrack-request.ts";

// Parts of dumps as kernel 6.18 sent them, in answer to sequence 5.
const flow4 =
  "c0000000000122000500000099f2d9fb020000003400018014000180080001000a000009080002000a60000a" +
  "1c0002800500010011000000060002009c40000006000300003500003400028014000180080001000af40005" +
  "080002000a0000091c00028005000100110000000600020014e90000060003009c4000000800030000000008" +
  "080008000000000008000c00a37c1e4708000b000000000108000700000002571c0018800800010000000000" +
  "08000200000000000800030000000000";
const flow6 =
  "f80000000001220005000000bf4261d70a0000004c0001802c00018014000300fd0000010000000000000000" +
  "0000000914000400fd00009600000000000000000000000a1c0002800500010011000000060002009c400000" +
  "06000300003500004c0002802c00018014000300fd00024400000000000000000000000514000400fd000001" +
  "0000000000000000000000091c00028005000100110000000600020014e90000060003009c40000006001200" +
  "000700000800030000000008080008000000000008000c00e00c7bc608000b00000000010800070000000257" +
  "1c001880080001000000000008000200000000000800030000000000";
const done = "140000000300020005000000bf4261d700000000";

const entry4: ConntrackEntry = {
  family: "ip",
  protocol: 17,
  original: {
    source: "10.0.0.9",
    destination: "10.96.0.10",
    sourcePort: 40_000,
    destinationPort: 53,
  },
  reply: {
    source: "10.244.0.5",
    destination: "10.0.0.9",
    sourcePort: 5_353,
    destinationPort: 40_000,
  },
  zone: 0,
  replyZone: 0,
  status: 8,
  id: 0xa37c1e47,
};

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

function hex(request: Uint8Array): string {
  return Buffer.from(request).toString("hex");
}

test("a dump's part becomes its flows, and the last message ends it", () => {
  const chunk = decodeConntrackChunk(bytes(flow4 + flow6 + done), 5);
  assert.deepEqual(chunk, {
    entries: [
      entry4,
      {
        family: "ip6",
        protocol: 17,
        original: {
          source: "fd00:1::9",
          destination: "fd00:96::a",
          sourcePort: 40_000,
          destinationPort: 53,
        },
        reply: {
          source: "fd00:244::5",
          destination: "fd00:1::9",
          sourcePort: 5_353,
          destinationPort: 40_000,
        },
        zone: 7,
        replyZone: 7,
        status: 8,
        id: 0xe00c7bc6,
      },
    ],
    interrupted: false,
    malformed: 0,
    end: { errno: 0 },
  });
});

test("messages of another request are passed over", () => {
  assert.deepEqual(decodeConntrackChunk(bytes(flow4 + done), 6), {
    entries: [],
    interrupted: false,
    malformed: 0,
  });
});

test("a failure in the DONE message is reported as its errno", () => {
  const part = bytes(done);
  new DataView(part.buffer).setInt32(16, -1, true);
  assert.deepEqual(decodeConntrackChunk(part, 5).end, { errno: 1 });
});

test("the flag of a changed table marks the dump as interrupted", () => {
  const part = bytes(done);
  part[6] = 0x12;
  assert.equal(decodeConntrackChunk(part, 5).interrupted, true);
});

test("a flow without a reply tuple is left out and counted", () => {
  const part = bytes(flow4 + done);
  part[72 + 2] = 0x3f; // the type of CTA_TUPLE_REPLY
  const chunk = decodeConntrackChunk(part, 5);
  assert.deepEqual([chunk.entries.length, chunk.malformed, chunk.end], [0, 1, { errno: 0 }]);
});

test("no truncation and no single changed byte makes the decoder throw", () => {
  const whole = bytes(flow4 + flow6 + done);
  for (let length = 0; length <= whole.length; length++) {
    const chunk = decodeConntrackChunk(whole.subarray(0, length), 5);
    assert.ok(chunk.entries.length <= 2);
    assert.equal(chunk.end !== undefined, length === whole.length);
  }
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 1, 3, 0x7f, 0x80, 0xff]) {
      const changed = Uint8Array.from(whole);
      changed[at] = value;
      decodeConntrackChunk(changed, 5);
    }
  }
});

test("any bytes are decoded without throwing, and without hanging", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (noise, framed) => {
      const part = framed ? frame(noise) : noise;
      decodeConntrackChunk(part, 5);
      decodeConntrackCount(part);
    }),
  );
});

test("what is created is what is read back", () => {
  const port = fc.integer({ min: 0, max: 65_535 });
  const address4 = fc.ipV4();
  const tuple = fc.record(
    {
      source: address4,
      destination: address4,
      sourcePort: port,
      destinationPort: port,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(tuple, tuple, port, (original, reply, zone) => {
      const both = { zone, replyZone: zone };
      const flow = { family: "ip", protocol: 17, original, reply, ...both, status: 8 } as const;
      const { entries } = decodeConntrackChunk(encodeConntrackCreate(flow, 60, 5), 5);
      assert.deepEqual(entries, [{ ...flow, id: 0 }]);
    }),
  );
});

test("a dump asks for one family and lets the kernel filter by protocol", () => {
  assert.equal(
    hex(encodeConntrackDump("ip6", { protocol: 17, unmarked: 0 }, 5)),
    "38000000010101030500000000000000" + // header: GET, REQUEST and DUMP, sequence 5
      "0a000000" + // AF_INET6
      "100001800c0002800500010011000000" + // CTA_TUPLE_ORIG { CTA_TUPLE_PROTO { CTA_PROTO_NUM } }
      "14001980" + // CTA_FILTER: compare the protocol of the original tuple, nothing of the reply
      "08000100080000000800020000000000",
  );
});

test("a deletion names the reply tuple, its zone when there is one, and the id", () => {
  const request = encodeConntrackDelete({ ...entry4, id: 0x01020304 }, 9);
  assert.equal(
    hex(request),
    "50000000020105000900000000000000020000003400028014000180080001000af40005080002000a000009" +
      "1c0002800500010011000000060002" +
      "0014e90000060003009c40000008000c0001020304",
  );
  const zoned = hex(encodeConntrackDelete({ ...entry4, zone: 5, replyZone: 7 }, 9));
  assert.ok(zoned.includes("0600120000070000"));
});

function frame(payload: Uint8Array): Uint8Array {
  const part = new Uint8Array(16 + payload.length);
  const view = new DataView(part.buffer);
  view.setUint32(0, part.length, true);
  view.setUint16(4, 0x0100, true);
  view.setUint32(8, 5, true);
  part.set(payload, 16);
  return part;
}
