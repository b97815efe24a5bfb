import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { digestOf, ElementDigest } from "./digest.ts";

const element = fc.record({ key: fc.string(), data: fc.string(), comment: fc.string() });

describe("ElementDigest", () => {
  test("does not depend on order", () => {
    fc.assert(
      fc.property(fc.array(element), (elements) => {
        assert.equal(digestOf(elements), digestOf(elements.toReversed()));
      }),
    );
  });

  test("removing what was added gives the digest of before", () => {
    fc.assert(
      fc.property(fc.array(element), element, (elements, extra) => {
        const digest = new ElementDigest();
        for (const one of elements) digest.add(one);
        digest.add(extra);
        digest.remove(extra);
        assert.equal(digest.toString(), digestOf(elements));
      }),
    );
  });

  test("tells a key from data, data from a comment, and one element from another", () => {
    const digests = [
      { key: "a", data: "b" },
      { key: "b", data: "a" },
      { key: "ab" },
      { key: "a", comment: "b" },
      { key: "a" },
      { key: "a", data: "b", comment: "c" },
    ].map((one) => digestOf([one]));
    assert.equal(new Set(digests).size, digests.length);
  });
});
