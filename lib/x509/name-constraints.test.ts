import assert from "node:assert/strict";
import { test } from "node:test";
import { contextTag, decodeDer, encodeDer, encodeInteger, encodeSequence } from "./der.ts";
import {
  decodeNameConstraints,
  encodeNameConstraints,
  type NameConstraints,
  permitsTrustDomain,
} from "./name-constraints.ts";

interface Subtrees {
  readonly permitted?: readonly Buffer[];
  readonly excluded?: readonly Buffer[];
}

const uri = (host: string): Buffer => encodeDer(contextTag(6, "primitive"), Buffer.from(host));
const dns = (host: string): Buffer => encodeDer(contextTag(2, "primitive"), Buffer.from(host));

function constraints({ permitted = [], excluded = [] }: Subtrees): NameConstraints | undefined {
  const lists = [permitted, excluded].flatMap((names, number) =>
    names.length === 0
      ? []
      : [encodeDer(contextTag(number, "constructed"), ...names.map((n) => encodeSequence(n)))],
  );
  const element = decodeDer(encodeSequence(...lists));
  return element && decodeNameConstraints(element);
}

const CASES: readonly (readonly [string, Subtrees, boolean])[] = [
  ["the trust domain itself", { permitted: [uri("cluster.local")] }, true],
  ["the trust domain in upper case", { permitted: [uri("CLUSTER.local")] }, true],
  ["one of several", { permitted: [uri("other.local"), uri("cluster.local")] }, true],
  ["every subdomain of its parent", { permitted: [uri(".local")] }, true],
  ["every host", { permitted: [uri("")] }, true],
  ["names of other kinds only", { permitted: [dns("example.org")] }, true],
  ["another trust domain", { permitted: [uri("other.local")] }, false],
  ["its subdomains but not itself", { permitted: [uri(".cluster.local")] }, false],
  ["a longer name", { permitted: [uri("a.cluster.local")] }, false],
  ["a part of its name", { permitted: [uri("local")] }, false],
];
for (const [name, subtrees, permits] of CASES) {
  test(`an authority that may name ${name} ${permits ? "may" : "may not"} name its workloads`, () => {
    const decoded = constraints(subtrees);
    assert.ok(decoded !== undefined);
    assert.equal(permitsTrustDomain(decoded, "cluster.local"), permits);
  });
}

test("what is excluded stays out, even if it is permitted as well", () => {
  const excluded = [uri("cluster.local")];
  assert.ok(!permitsTrustDomain(constraints({ excluded }), "cluster.local"));
  assert.ok(!permitsTrustDomain(constraints({ permitted: excluded, excluded }), "cluster.local"));
  assert.ok(permitsTrustDomain(constraints({ excluded }), "other.local"));
});

test("an authority without constraints may name all", () => {
  assert.ok(permitsTrustDomain(undefined, "cluster.local"));
});

test("what is written permits one trust domain", () => {
  const element = decodeDer(encodeNameConstraints("cluster.local"));
  assert.ok(element !== undefined);
  assert.deepEqual(decodeNameConstraints(element), {
    permittedHosts: ["cluster.local"],
    excludedHosts: [],
  });
});

test("empty constraints, minimum and maximum, and strange tags are malformed", () => {
  assert.equal(constraints({}), undefined);
  const bounded = encodeSequence(uri("a"), encodeInteger(Buffer.of(1)));
  const permitted = encodeDer(contextTag(0, "constructed"), bounded);
  const strange = encodeDer(contextTag(2, "constructed"), encodeSequence(uri("a")));
  for (const list of [permitted, strange]) {
    const element = decodeDer(encodeSequence(list));
    assert.ok(element !== undefined);
    assert.equal(decodeNameConstraints(element), undefined);
  }
});
