import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BlockOutcome, HpackDecoder } from "./hpack-decoder.ts";
import { RFC_SERIES } from "./hpack-rfc-cases.ts";

interface Decoded {
  readonly outcome: BlockOutcome;
  readonly fields: readonly string[];
}

/** From a view inside a larger buffer, which is overwritten afterwards. */
function decode(decoder: HpackDecoder, block: Uint8Array): Decoded {
  const shared = Buffer.alloc(block.length + 8, 0xff);
  shared.set(block, 4);
  const fields: string[] = [];
  const sink = {
    field: ({ name, value }: { name: string; value: string }) => fields.push(name, value),
  };
  const outcome = decoder.decode(shared, 4, 4 + block.length, sink);
  shared.fill(0);
  return { outcome, fields };
}

const hex = (digits: string): Buffer => Buffer.from(digits, "hex");
const complete = (...fields: string[]): Decoded => ({ outcome: "complete", fields });

for (const { name, blocks } of RFC_SERIES) {
  test(`RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder(65_536);
    for (const [digits, fields] of blocks) {
      assert.deepEqual(decode(decoder, hex(digits)), complete(...fields));
    }
  });
}

test("a block that is cut off anywhere is broken, or ends between two fields", () => {
  for (const [digits, fields] of RFC_SERIES.flatMap(({ blocks }) => blocks.slice(0, 1))) {
    const block = hex(digits);
    for (let end = 0; end < block.length; end++) {
      const cut = decode(new HpackDecoder(65_536), block.subarray(0, end));
      assert.deepEqual(cut.fields, fields.slice(0, cut.fields.length));
      assert(cut.outcome === "broken" || cut.fields.length < fields.length);
    }
  }
});

const BROKEN: readonly (readonly [rule: string, digits: string])[] = [
  ["index 0 names nothing", "80"],
  ["an index beyond the tables names nothing", "be"],
  ["a literal's name beyond the tables is none", "7f0000"],
  ["an integer has an end", "ffffffffffffffffffff"],
  ["an integer has a bound", "ff80808080808001"],
  ["a string is not longer than its block", "00056162"],
  ["a size update stands before all fields", "8220"],
  ["a table is not larger than was allowed", "3fe21f"],
  ["a Huffman string has proper padding", "000161ff"],
];
for (const [rule, digits] of BROKEN) {
  test(`${rule}: the block is broken`, () => {
    assert.equal(decode(new HpackDecoder(65_536), hex(digits)).outcome, "broken");
  });
}

test("a list beyond the limit is not told to its end, and the table stays in step", () => {
  const decoder = new HpackDecoder(100);
  const big = Buffer.concat([hex("4001617f01"), Buffer.alloc(128, 0x62)]);
  const after = hex("400163016482");
  assert.deepEqual(decode(decoder, Buffer.concat([big, after])), {
    outcome: "too-large",
    fields: [],
  });
  assert.deepEqual(decode(decoder, hex("be")), complete("c", "d"));
});

test("a small block of many references is cut at the limit (HPACK bomb)", () => {
  const decoder = new HpackDecoder(65_536);
  const entry = Buffer.concat([hex("4001787fa11e"), Buffer.alloc(4000, 0x78)]);
  assert.equal(decode(decoder, entry).outcome, "complete");
  const bomb = decode(decoder, Buffer.alloc(16_000, 0xbe));
  assert.equal(bomb.outcome, "too-large");
  assert.equal(bomb.fields.length, 2 * Math.floor(65_536 / 4033));
});

test("an entry larger than the table empties it", () => {
  const decoder = new HpackDecoder(65_536);
  decode(decoder, hex("4001610162"));
  assert.equal(decode(decoder, hex("be")).outcome, "complete");
  decode(decoder, Buffer.concat([hex("4001787fff20"), Buffer.alloc(127 + 127 + 32 * 128, 0x78)]));
  assert.equal(decode(decoder, hex("be")).outcome, "broken");
});

test("size updates empty the table and let it fill again", () => {
  const decoder = new HpackDecoder(65_536);
  decode(decoder, hex("4001610162"));
  assert.deepEqual(decode(decoder, hex("203fe11f82")), complete(":method", "GET"));
  assert.equal(decode(decoder, hex("be")).outcome, "broken");
});

test("no bytes make it throw, alone or after bytes that made a table", () => {
  const blocks = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 });
  fc.assert(
    fc.property(blocks, (pieces) => {
      const decoder = new HpackDecoder(1000);
      for (const piece of pieces) if (decode(decoder, piece).outcome === "broken") return;
    }),
  );
});

test("a damaged block never makes it throw", () => {
  const series = RFC_SERIES.map(({ blocks }) => blocks.map(([digits]) => hex(digits)));
  const damage = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(
      fc.constantFrom(...series),
      fc.array(damage, { maxLength: 4 }),
      (blocks, damages) => {
        const decoder = new HpackDecoder(65_536);
        for (const block of blocks) {
          const damaged = Buffer.from(block);
          for (const [at, octet] of damages) damaged[at % damaged.length] = octet;
          if (decode(decoder, damaged).outcome === "broken") return;
        }
      },
    ),
  );
});
