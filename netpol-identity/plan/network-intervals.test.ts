import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes, formatAddress } from "../../lib/ip/address.ts";
import { parseCidr } from "../../lib/ip/cidr.ts";
import { isInInterval } from "../../lib/nft/trace-match.ts";
import { blockContains, blocksOf } from "../evaluate/address-block.ts";
import { addressIntervals, portIntervals } from "./network-intervals.ts";

const block = (cidr: string, ...except: readonly string[]) => ({ cidr, except });

test("exceptions are cut out, what touches is joined, and the other family is left out", () => {
  const blocks = [
    block("10.0.0.0/16", "10.0.1.0/24", "10.0.255.255/32"),
    block("10.1.0.0/16"),
    block("fd00::/8"),
  ];
  assert.deepEqual(addressIntervals(blocks, "ip"), [
    "10.0.0.0/24",
    "10.0.2.0-10.0.255.254",
    "10.1.0.0/16",
  ]);
  assert.deepEqual(addressIntervals(blocks, "ip6"), ["fd00::/8"]);
});

test("a block that is excepted whole holds nobody, unless another has it", () => {
  assert.deepEqual(addressIntervals([block("10.0.0.0/16", "10.0.0.0/8")], "ip"), []);
  const again = [block("10.0.0.0/16", "10.0.0.0/8"), block("10.0.0.9/32")];
  assert.deepEqual(addressIntervals(again, "ip"), ["10.0.0.9/32"]);
});

test("every address is all of a family, to the last", () => {
  assert.equal(addressIntervals([block("0.0.0.0/0")], "ip"), "all");
  assert.equal(addressIntervals([block("::/1"), block("8000::/1")], "ip6"), "all");
  assert.deepEqual(addressIntervals([block("0.0.0.0/0", "0.0.0.0/32")], "ip"), [
    "0.0.0.1-255.255.255.255",
  ]);
});

test("ranges of ports that overlap or touch are one", () => {
  const range = (protocol: "TCP" | "UDP", first: number, last: number) => ({
    protocol,
    first,
    last,
  });
  const ports = [range("TCP", 85, 100), range("UDP", 53, 53), range("TCP", 80, 90)];
  assert.deepEqual(portIntervals([...ports, range("TCP", 101, 101)]), ["tcp . 80-101", "udp . 53"]);
});

test("an address is in the intervals if some block has it", () => {
  const cidr = fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 32 }))
    // Near each other, so that they meet.
    .map(([bytes, length]) => {
      const address = formatAddress(Uint8Array.of(10, 0, (bytes[2] ?? 0) & 3, bytes[3] ?? 0));
      return parseCidr(`${address}/${length}`) ?? assert.fail();
    });
  const blocks = fc.array(fc.record({ cidr, except: fc.array(cidr, { maxLength: 3 }) }), {
    maxLength: 4,
  });
  const address = fc.tuple(fc.nat(3), fc.nat(255)).map(([a, b]) => `10.0.${a}.${b}`);
  fc.assert(
    fc.property(blocks, fc.array(address, { minLength: 5, maxLength: 20 }), (all, addresses) => {
      const intervals = addressIntervals(all, "ip");
      for (const one of addresses) {
        const inside = blocksOf(all).some((each) => blockContains(each, addressBytes(one)));
        const found = intervals === "all" || intervals.some((text) => isInInterval(text, one));
        assert.equal(found, inside, one);
      }
    }),
    { numRuns: 300 },
  );
});
