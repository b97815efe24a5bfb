import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAttributes } from "../netlink/attribute.ts";
import { decodeMessages } from "../netlink/message.ts";
import { encodeBatch } from "./encode.ts";
import type { Answer } from "./nft-session.ts";
import type { Change, Transaction } from "./objects.ts";
import { describeRefusal } from "./refusal.ts";
import { sampleSets } from "./sample-ruleset.ts";
import { SetRegistry } from "./set-registry.ts";

const ENOENT = 2;
const ELEMENT_LIST = 3;

function refuse(changes: Change[], answer: Partial<Answer>): string {
  const transaction: Transaction = { family: "ip", table: "t", changes };
  const batch = encodeBatch([transaction], new SetRegistry());
  const refusal: Answer = { kind: "error", flags: 0, sequence: 0, errno: ENOENT, ...answer };
  return describeRefusal(batch, batch.bytes, refusal).message;
}

/** Where in its message the n-th element stands, as the kernel points to it. */
function offsetOf(changes: Change[], index: number): number {
  const batch = encodeBatch([{ family: "ip", table: "t", changes }], new SetRegistry());
  const message = decodeMessages(batch.bytes)[1];
  assert(message?.kind === "data");
  const list = decodeAttributes(message.payload.subarray(4)).find((a) => a.type === ELEMENT_LIST);
  const item = list === undefined ? undefined : decodeAttributes(list.value)[index];
  assert(item !== undefined);
  return item.value.byteOffset - 4 - (message.payload.byteOffset - 16);
}

test("a refused rule is named in nft's words, with the kernel's own sentence", () => {
  const change: Change = { kind: "add-rule", chain: "c", rule: [{ kind: "reject" }] };
  assert.equal(
    refuse([change], { sequence: 1, text: "no such chain" }),
    "Cannot add rule ip t c reject with icmp port-unreachable: " +
      "kernel returned ENOENT (no such chain)",
  );
});

test("a refused element is found by the offset that the kernel gives", () => {
  const elements = ["0:1", "0:2", "0:3"].map((key) => ({ key, data: "goto c" }));
  const changes: Change[] = [{ kind: "add-elements", set: sampleSets.setVerdicts, elements }];
  assert.match(
    refuse(changes, { sequence: 1, offset: offsetOf(changes, 1) }),
    /^Cannot add element ip t esets \{ 0:2 : goto c \}:/,
  );
});

test("both ends of an interval lead to its one element", () => {
  const elements = [{ key: "10.0.0.0/8" }, { key: "11.0.0.0/8" }];
  const changes: Change[] = [{ kind: "add-elements", set: sampleSets.localPods, elements }];
  for (const item of [2, 3]) {
    const text = refuse(changes, { sequence: 1, offset: offsetOf(changes, item) });
    assert.match(text, /\{ 11\.0\.0\.0\/8 \}/);
  }
});

test("an error of the batch as a whole names no change", () => {
  assert.match(refuse([{ kind: "delete-table" }], { sequence: 0 }), /^Cannot commit an nft batch:/);
});
