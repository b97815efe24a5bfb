// Encodes transactions as one nfnetlink batch: the kernel applies all of it or nothing.
// Every message has a sequence number of its own; the kernel's errors name it, and `origins` says
// which change it was.

import { NetlinkWriter } from "../netlink/attribute.ts";
import {
  addFlags,
  beginMessage,
  endMessage,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
} from "../netlink/message.ts";
import { encodeListSet, encodeProtocolSet } from "./encode-anonymous.ts";
import { bringsSet, encodeRule } from "./encode-rule.ts";
import { encodeElements, encodeSet, placeNumber } from "./encode-set.ts";
import { encodeChain, encodeCounter, encodeRemoval, encodeTable } from "./encode-table.ts";
import { BATCH_RESOURCE_ID, MESSAGE, RULE } from "./nftables-abi.ts";
import type { Change, Element, Family, Rule, SetSpec, Transaction } from "./objects.ts";
import { SetRegistry } from "./set-registry.ts";

/** Which change a message carries; for elements, `from` is the index of the message's first. */
export interface Origin {
  readonly transaction: Transaction;
  readonly change: Change;
  readonly from: number;
}

export interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** By sequence number; the opening has none. */
  readonly origins: readonly (Origin | undefined)[];
  /** The message that the kernel acknowledges; undefined when there is nothing to do. */
  readonly acknowledged: number | undefined;
  /** What is known about sets once this batch is applied. */
  readonly sets: SetRegistry;
  /** How much of `bytes` each family's changes take; the batch's own markers are nobody's. */
  readonly familyBytes: ReadonlyMap<Family, number>;
}

/**
 * Encodes transactions, in order.
 * @param known sets that exist already; a set that nobody knows counts as one without intervals
 */
export function encodeBatch(transactions: readonly Transaction[], known: SetRegistry): Batch {
  const encoder = new BatchEncoder(known);
  for (const transaction of transactions) encoder.encode(transaction);
  return encoder.finish();
}

class BatchEncoder {
  readonly #writer = new NetlinkWriter();
  readonly #origins: (Origin | undefined)[] = [];
  readonly #sets: SetRegistry;
  readonly #familyBytes = new Map<Family, number>();
  #lastSetId = 0;
  #lastMessageAt: number | undefined;

  constructor(known: SetRegistry) {
    this.#sets = new SetRegistry(known);
    this.#writeMarker(MESSAGE.batchBegin);
  }

  finish(): Batch {
    const acknowledged = this.#lastMessageAt === undefined ? undefined : this.#origins.length - 1;
    // One acknowledgement, on the last message: kernels before 6.10 give none for the markers.
    if (this.#lastMessageAt !== undefined) addFlags(this.#writer, this.#lastMessageAt, NLM_F_ACK);
    this.#writeMarker(MESSAGE.batchEnd);
    const bytes = this.#writer.finish();
    return {
      bytes,
      origins: this.#origins,
      acknowledged,
      sets: this.#sets,
      familyBytes: this.#familyBytes,
    };
  }

  encode(transaction: Transaction): void {
    const { family, changes } = transaction;
    const from = this.#writer.length;
    for (const change of changes) this.#encodeChange(transaction, change);
    const before = this.#familyBytes.get(family) ?? 0;
    this.#familyBytes.set(family, before + this.#writer.length - from);
  }

  #encodeChange(transaction: Transaction, change: Change): void {
    const writer = this.#writer;
    switch (change.kind) {
      case "add-table":
        return encodeTable(writer, transaction, change.comment, this.#next(transaction, change));
      case "add-set":
        return this.#encodeSet(transaction, change, change.set);
      case "add-counter":
        return encodeCounter(writer, transaction, change.counter, this.#next(transaction, change));
      case "add-chain":
        return encodeChain(writer, transaction, change.chain, this.#next(transaction, change));
      case "add-rule":
        return this.#encodeRule(transaction, change, change.rule);
      case "add-elements":
        return this.#encodeElements(transaction, change, change.elements);
      case "delete-elements": {
        const elements = change.keys.map((key) => ({ key }));
        return this.#encodeElements(transaction, change, elements);
      }
      case "delete-table":
      case "delete-set":
      case "delete-chain":
      case "flush-chain":
        return encodeRemoval(writer, transaction, change, this.#next(transaction, change));
      default:
        return change satisfies never;
    }
  }

  #encodeSet(transaction: Transaction, change: Change, set: SetSpec): void {
    const { family, table } = transaction;
    this.#sets.remember(family, table, set.name, set.interval === true);
    const sequence = this.#next(transaction, change);
    encodeSet(this.#writer, transaction, set, ++this.#lastSetId, sequence);
  }

  #encodeElements(
    transaction: Transaction,
    change: Extract<Change, { kind: "add-elements" | "delete-elements" }>,
    elements: readonly Element[],
  ): void {
    const operation = change.kind === "add-elements" ? "add" : "delete";
    for (let from = 0; from < elements.length; ) {
      const sequence = this.#next(transaction, change, from);
      const options = { from, sequence, operation } as const;
      from = encodeElements(this.#writer, transaction, change.set, elements, options);
    }
  }

  #encodeRule(
    transaction: Transaction,
    change: Extract<Change, { kind: "add-rule" }>,
    rule: Rule,
  ): void {
    const { family, table } = transaction;
    const anonymous = rule.filter(bringsSet).map((statement) => {
      const id = ++this.#lastSetId;
      const next = (): number => this.#next(transaction, change);
      return statement.kind === "dnat"
        ? encodeProtocolSet(this.#writer, transaction, id, next)
        : encodeListSet(this.#writer, transaction, id, statement, next);
    });
    const message = beginMessage(this.#writer, {
      type: MESSAGE.newRule,
      flags: NLM_F_CREATE | NLM_F_APPEND,
      sequence: this.#next(transaction, change),
      family: placeNumber(transaction),
    });
    this.#writer.string(RULE.table, table);
    this.#writer.string(RULE.chain, change.chain);
    const expressions = this.#writer.begin(RULE.expressions);
    const isInterval = (set: string): boolean => this.#sets.isInterval(family, table, set) ?? false;
    const { layer } = transaction;
    encodeRule(this.#writer, { family, layer, isInterval }, rule, anonymous);
    this.#writer.end(expressions);
    endMessage(this.#writer, message);
  }

  /** The sequence number of the message about to be written. */
  #next(transaction: Transaction, change: Change, from = 0): number {
    this.#lastMessageAt = this.#writer.length;
    this.#origins.push({ transaction, change, from });
    return this.#origins.length - 1;
  }

  #writeMarker(type: number): void {
    const sequence = this.#origins.length;
    this.#origins.push(undefined);
    const header = { type, flags: 0, sequence, family: 0, resourceId: BATCH_RESOURCE_ID };
    endMessage(this.#writer, beginMessage(this.#writer, header));
  }
}
