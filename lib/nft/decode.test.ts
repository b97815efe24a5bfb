// What the kernel dumps has the attributes of what we send, so batches serve as dumps here.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeMessages } from "../netlink/message.ts";
import { arbitrarySet, type FilledSet } from "./sample-arbitrary.ts";
import {
  decodeChain,
  decodeElements,
  decodeGeneration,
  decodeRule,
  decodeSet,
  type SetDescription,
} from "./decode.ts";
import { encodeBatch } from "./encode.ts";
import { MESSAGE } from "./nftables-abi.ts";
import type { Element, Transaction } from "./objects.ts";
import { sampleRuleset, sampleSets } from "./sample-ruleset.ts";
import { SetRegistry } from "./set-registry.ts";

function payloads(transaction: Transaction, type: number): Uint8Array[] {
  const batch = encodeBatch([transaction], new SetRegistry());
  return decodeMessages(batch.bytes).flatMap((message) =>
    message.kind === "data" && message.type === type ? [message.payload] : [],
  );
}

function throughBytes({ family, set, elements }: FilledSet): Map<string, Element> {
  const transaction: Transaction = {
    family,
    table: "t",
    changes: [
      { kind: "add-set", set },
      { kind: "add-elements", set, elements },
    ],
  };
  const [header] = payloads(transaction, MESSAGE.newSet);
  assert(header !== undefined);
  const description = decodeSet(family, header);
  assert(description !== undefined);
  return decodeElements(description, payloads(transaction, MESSAGE.newElements)).elements;
}

test("any set's elements come back from bytes as they went in", () => {
  fc.assert(
    fc.property(arbitrarySet(), (filled) => {
      const expected = new Map(filled.elements.map((element) => [element.key, element]));
      assert.deepEqual(throughBytes(filled), expected);
    }),
  );
});

test("a description says what kind of set it is", () => {
  const [header] = payloads(
    { family: "ip", table: "t", changes: [{ kind: "add-set", set: sampleSets.affinity }] },
    MESSAGE.newSet,
  );
  assert.deepEqual(decodeSet("ip", header ?? new Uint8Array()), {
    family: "ip",
    name: "affinity",
    isAnonymous: false,
    isInterval: false,
    isVolatile: true,
    key: ["saddr", "meta priority"],
    data: ["meta priority"],
  });
});

test("an interval without an end reaches to the start of the next, or to the last address", () => {
  const set: SetDescription = {
    family: "ip",
    name: "s",
    isAnonymous: false,
    isInterval: true,
    isVolatile: false,
    key: ["saddr"],
    data: undefined,
  };
  const elements = [{ key: "10.0.0.0/8" }, { key: "128.0.0.0/1" }];
  const spec = { name: "s", key: ["saddr"], interval: true } as const;
  const bytes = payloads(
    { family: "ip", table: "t", changes: [{ kind: "add-elements", set: spec, elements }] },
    MESSAGE.newElements,
  );
  assert.deepEqual([...decodeElements(set, bytes).elements.keys()], ["10.0.0.0/8", "128.0.0.0/1"]);
});

test("elements that a disturbed walk reports twice are counted", () => {
  const elements = [
    { key: "0:1 . 0", data: "10.0.0.1 . 80" },
    { key: "0:1 . 1", data: "10.0.0.2 . 80" },
  ];
  const set = sampleSets.endpoints;
  const transaction: Transaction = {
    family: "ip",
    table: "t",
    changes: [
      { kind: "add-set", set },
      { kind: "add-elements", set, elements },
      { kind: "add-elements", set, elements: elements.slice(0, 1) },
    ],
  };
  const [header] = payloads(transaction, MESSAGE.newSet);
  const description = decodeSet("ip", header ?? new Uint8Array());
  assert(description !== undefined);
  const decoded = decodeElements(description, payloads(transaction, MESSAGE.newElements));
  assert.equal(decoded.elements.size, 2);
  assert.equal(decoded.repeated, 1);
});

test("equal rules have equal texts, and the number of an anonymous set is no part of them", () => {
  const rules = payloads(sampleRuleset("ip"), MESSAGE.newRule).map(decodeRule);
  const texts = rules.map(({ fingerprint }) => fingerprint);
  assert.equal(new Set(texts).size, texts.length, "all rules of the sample differ");
  const lookup = (set: string): string => {
    const changes = [{ kind: "add-rule", chain: "c", rule: [inSet(set)] }] as const;
    const [rule] = payloads({ family: "ip", table: "t", changes }, MESSAGE.newRule);
    return decodeRule(rule ?? new Uint8Array()).fingerprint;
  };
  assert.equal(lookup("__set1"), lookup("__set2"));
  assert.notEqual(lookup("a1"), lookup("a2"));
});

function inSet(set: string) {
  return { kind: "in-set", key: [{ kind: "field", field: "saddr" }], set } as const;
}

test("decoding never throws, at any truncation of any message", () => {
  const batch = encodeBatch([sampleRuleset("ip6")], new SetRegistry());
  const set: SetDescription = {
    family: "ip6",
    name: "s",
    isAnonymous: false,
    isInterval: true,
    isVolatile: false,
    key: ["meta priority", "saddr"],
    data: "verdict",
  };
  for (const message of decodeMessages(batch.bytes)) {
    assert(message.kind === "data");
    for (let length = 0; length < message.payload.length; length++) {
      const bytes = message.payload.subarray(0, length);
      decodeSet("ip6", bytes);
      decodeElements(set, [bytes]);
      decodeElements({ ...set, key: undefined, data: undefined }, [bytes]);
      decodeRule(bytes);
      decodeChain(bytes);
      decodeGeneration(bytes);
    }
  }
});
