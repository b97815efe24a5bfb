import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatSpiffeId, isTrustDomain, parseSpiffeId } from "./spiffe-id.ts";

test("an identity is a trust domain, a namespace and a ServiceAccount", () => {
  assert.deepEqual(parseSpiffeId("spiffe://my_domain-1.example/ns/shop/sa/cart.v2"), {
    trustDomain: "my_domain-1.example",
    namespace: "shop",
    serviceAccount: "cart.v2",
  });
});

const NOT_WORKLOADS: readonly string[] = [
  "",
  "spiffe://",
  "spiffe://td",
  "spiffe://td/ns/a",
  "spiffe://td/ns/a/sa/",
  "spiffe://td/ns//sa/b",
  "spiffe:///ns/a/sa/b",
  "spiffe://td/ns/a/sa/b/",
  "spiffe://td/ns/a/sa/b/c",
  "spiffe://td//ns/a/sa/b",
  "spiffe://td/sa/b/ns/a",
  "spiffe://td/NS/a/sa/b",
  "SPIFFE://td/ns/a/sa/b",
  "https://td/ns/a/sa/b",
  "spiffe://TD/ns/a/sa/b",
  "spiffe://td:443/ns/a/sa/b",
  "spiffe://user@td/ns/a/sa/b",
  "spiffe://td/ns/a/sa/b?q",
  "spiffe://td/ns/a/sa/b#f",
  "spiffe://td/ns/a/sa/%62",
  "spiffe://td/ns/./sa/b",
  "spiffe://td/ns/../sa/b",
  "spiffe://td/ns/a.b/sa/b",
  "spiffe://td/ns/A/sa/b",
  "spiffe://td/ns/-a/sa/b",
  "spiffe://td/ns/a/sa/b..c",
  "spiffe://td/ns/a/sa/b_c",
  "spiffe://td/ns/a/sa/b ",
  "spiffe://td/ns/a/sa/b\n",
  "spiffe://td/ns/a/sa/b\0",
  "spiffe://td/ns/a/sa/bé",
  "spiffe://.td/ns/a/sa/b",
  "spiffe://[::1]/ns/a/sa/b",
  `spiffe://td/ns/${"a".repeat(64)}/sa/b`,
  `spiffe://td/ns/a/sa/${"b".repeat(64)}`,
  `spiffe://td/ns/a/sa/${Array(128).fill("b").join(".")}`,
  `spiffe://${"t".repeat(256)}/ns/a/sa/b`,
];
for (const uri of NOT_WORKLOADS) {
  test(`${JSON.stringify(uri).slice(0, 60)} names no workload`, () => {
    assert.equal(parseSpiffeId(uri), undefined);
  });
}

test("trust domains have lower-case letters, digits, dots, dashes and underscores", () => {
  for (const text of ["cluster.local", "a", "1.2", "a_b-c", "t".repeat(255)]) {
    assert.ok(isTrustDomain(text), text);
  }
  for (const text of ["", "A", ".a", "a.", "-a", "a/b", "a:1", "é", "t".repeat(256)]) {
    assert.ok(!isTrustDomain(text), text);
  }
});

test("a URI that is read is the one that would be written; any text is read or not", () => {
  const text = fc.oneof(
    fc.stringMatching(/^spiffe:\/\/[a-z.:%]{0,5}\/ns\/[a-z.-]{0,5}\/sa\/[a-z./-]{0,5}$/),
    fc.string({ unit: "binary" }),
  );
  fc.assert(
    fc.property(text, (uri) => {
      const identity = parseSpiffeId(uri);
      if (identity !== undefined) assert.equal(formatSpiffeId(identity), uri);
    }),
    { numRuns: 500 },
  );
});
