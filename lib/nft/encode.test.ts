// The oracle is nft itself: testdata/sample-*.hex is what nft 1.0.6 sent for sample-*.nft.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { decodeAttributes } from "../netlink/attribute.ts";
import { decodeMessages, NLM_F_ACK } from "../netlink/message.ts";
import { arbitrarySet } from "./sample-arbitrary.ts";
import { encodeBatch } from "./encode.ts";
import { MESSAGE } from "./nftables-abi.ts";
import type { Change, Family } from "./objects.ts";
import { sampleRuleset, sampleSets, withoutRemember } from "./sample-ruleset.ts";
import { SetRegistry } from "./set-registry.ts";

const FIRST_ELEMENTS = 3;
const unknown = new SetRegistry();

for (const family of ["ip", "ip6"] as const) {
  test(`the sample ruleset encodes to what nft sends: ${family}`, () => {
    const batch = encodeBatch([withoutRemember(sampleRuleset(family))], unknown);
    assert.deepEqual(describeBatch(batch.bytes), describeBatch(readGolden(family)));
  });

  test(`100,000 endpoints take 250 messages and under 8 MB: ${family}`, () => {
    const elements = Array.from({ length: 100_000 }, (_, i) => ({
      key: `${(i >> 16).toString(16)}:${(i & 0xffff).toString(16)} . 0`,
      data: family === "ip" ? "10.0.0.1 . 80" : "fd00::1 . 80",
    }));
    const changes: Change[] = [{ kind: "add-elements", set: sampleSets.endpoints, elements }];
    const batch = encodeBatch([{ family, table: "t", changes }], unknown);
    const messages = decodeMessages(batch.bytes);
    assert.equal(messages.length, 2 + 250, "400 elements a message");
    assert(batch.bytes.length < 8_000_000, `${batch.bytes.length} bytes`);
  });
}

test("IPv6 affinity keeps its key in the first registers and its data in the last", () => {
  const rules = sampleRuleset("ip6").changes.filter(
    (change) => change.kind === "add-rule" && change.rule.some(({ kind }) => kind === "remember"),
  );
  const batch = encodeBatch([{ family: "ip6", table: "t", changes: rules }], unknown);
  const text = describeBatch(batch.bytes).join("\n");
  // dynset: key register 1, data register 23 (reg32_15)
  assert.equal(text.match(/2\{4=00000001 5=00000017/g)?.length, 2, text);
});

test("only the last message of a batch asks for an acknowledgement", () => {
  const batch = encodeBatch([sampleRuleset("ip"), sampleRuleset("ip6")], unknown);
  const asking = decodeMessages(batch.bytes).filter(({ flags }) => (flags & NLM_F_ACK) !== 0);
  assert.deepEqual(
    asking.map(({ sequence }) => sequence),
    [batch.acknowledged],
  );
});

test("a batch without changes asks for nothing", () => {
  const empty: Change = { kind: "add-elements", set: sampleSets.vips, elements: [] };
  const batch = encodeBatch([{ family: "ip", table: "t", changes: [empty] }], unknown);
  assert.equal(batch.acknowledged, undefined);
});

test("every message has its own sequence number, and origins say whose it is", () => {
  const batch = encodeBatch([sampleRuleset("ip")], unknown);
  const messages = decodeMessages(batch.bytes);
  assert.deepEqual(
    messages.map(({ sequence }) => sequence),
    messages.map((_, i) => i),
  );
  assert.equal(batch.origins.length, messages.length);
  assert.equal(batch.origins[1]?.change.kind, "add-table");
});

test("numbers in keys are in network order where the set holds intervals", () => {
  const rule = sampleRuleset("ip").changes.find(
    (change) =>
      change.kind === "add-rule" &&
      change.rule.some((s) => s.kind === "in-set" && s.set === "lb-allow"),
  );
  assert(rule !== undefined);
  const encode = (known: SetRegistry): string =>
    describeBatch(encodeBatch([{ family: "ip", table: "t", changes: [rule] }], known).bytes).join();
  const known = new SetRegistry();
  known.remember("ip", "t", "lb-allow", true);
  assert.match(encode(known), /byteorder/);
  assert.doesNotMatch(encode(unknown), /byteorder/);
});

test("any set and its elements fit in attributes, each message under its limit", () => {
  fc.assert(
    fc.property(arbitrarySet(), ({ family, set, elements }) => {
      const many = Array.from({ length: 40 }, () => elements).flat();
      const changes: Change[] = [
        { kind: "add-set", set },
        { kind: "add-elements", set, elements: many },
      ];
      const batch = encodeBatch([{ family, table: "t", changes }], unknown);
      let items = 0;
      for (const message of decodeMessages(batch.bytes)) {
        assert(message.kind === "data");
        if (message.type !== MESSAGE.newElements) continue;
        const list = decodeAttributes(message.payload.subarray(4)).find(
          ({ type }) => type === FIRST_ELEMENTS,
        );
        items += list === undefined ? 0 : decodeAttributes(list.value).length;
      }
      assert(items >= many.length);
    }),
    { numRuns: 50 },
  );
});

function readGolden(family: Family): Uint8Array {
  const path = join(import.meta.dirname, "testdata", `sample-${family}.hex`);
  const lines = readFileSync(path, "utf8").split("\n");
  return Buffer.from(lines.filter((line) => !line.startsWith("#")).join(""), "hex");
}

/**
 * Messages as text, without what may differ: sequence and acknowledgement; ids of sets within the
 * batch (we name sets); the GC interval (nft cannot set it); a bitwise operator 0 and an index of
 * list items, both defaults; interval elements that nft sends with the set as well, after a
 * sentinel at zero.
 */
function describeBatch(bytes: Uint8Array): string[] {
  const texts: string[] = [];
  const messages = decodeMessages(bytes);
  messages.forEach((message, i) => {
    assert(message.kind === "data");
    const previous = messages[i - 1];
    const isElements = message.type === MESSAGE.newElements;
    const afterSet = previous?.kind === "data" && previous.type === MESSAGE.newSet;
    if (isElements && afterSet && !texts.at(-1)?.includes("__set")) return;
    const attributes = describe(message.payload.subarray(4), message.type);
    texts.push(`${message.type.toString(16)} family ${message.payload[0]} ${attributes}`);
  });
  return texts;
}

const dropped: Readonly<Record<number, readonly number[]>> = {
  [MESSAGE.newSet]: [10, 12],
  [MESSAGE.newElements]: [4],
};

function describe(bytes: Uint8Array, messageType: number): string {
  return decodeAttributes(bytes)
    .filter(({ type }) => !(dropped[messageType] ?? []).includes(type))
    .map(({ type, value }) => `${type}${describeValue(value, messageType, type)}`)
    .join(" ");
}

function describeValue(value: Uint8Array, messageType: number, type: number): string {
  const isNested =
    (messageType === MESSAGE.newRule && type === 4) ||
    (messageType === MESSAGE.newElements && type === 3);
  return isNested ? `{${describeTree(value)}}` : `=${Buffer.from(value).toString("hex")}`;
}

/** Rule expressions and element lists: names as text, items without their index. */
function describeTree(bytes: Uint8Array): string {
  return decodeAttributes(bytes)
    .map(({ value }) => {
      const [name, data] = decodeAttributes(value);
      const text = name === undefined ? "" : Buffer.from(name.value).toString("latin1");
      if (!/^[a-z]+\0$/.test(text) || data === undefined) {
        return Buffer.from(value).toString("hex");
      }
      const operands = decodeAttributes(data.value)
        .filter(({ type }) => !(text === "bitwise\0" && type === 6))
        .filter(({ type }) => !(text === "lookup\0" && type === 4))
        .filter(({ type }) => !(text === "dynset\0" && type === 2))
        .map((operand) => `${operand.type}=${Buffer.from(operand.value).toString("hex")}`);
      return `${text.slice(0, -1)} 2{${operands.join(" ")}}`;
    })
    .join("; ");
}

test("a batch tells how many of its bytes each family takes; the markers take 20 each", () => {
  const batch = encodeBatch([sampleRuleset("ip"), sampleRuleset("ip6")], unknown);
  const { ip = 0, ip6 = 0 } = Object.fromEntries(batch.familyBytes);
  assert(ip > 0 && ip6 > ip, `${ip} and ${ip6} bytes`);
  assert.equal(ip + ip6 + 2 * 20, batch.bytes.length);
});
