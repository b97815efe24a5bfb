// Encodes the questions asked of nf_tables: each is one netlink message.

import { NetlinkWriter } from "../netlink/attribute.ts";
import { beginMessage, endMessage, NLM_F_DUMP } from "../netlink/message.ts";
import {
  ELEMENTS,
  FAMILY_NUMBER,
  MESSAGE,
  OBJECT,
  OBJECT_TYPE_COUNTER,
  RULE,
  SET,
  TABLE,
} from "./nftables-abi.ts";
import type { Place } from "./objects.ts";

const REQUEST_BYTES = 1024;

export type Question =
  | { readonly kind: "generation" }
  | { readonly kind: "table"; readonly family: Place; readonly table: string }
  /** Dumps; the kernel cannot select chains by table. */
  | {
      readonly kind: "sets" | "counters";
      readonly family: Place;
      readonly table: string;
    }
  | {
      readonly kind: "rules";
      readonly family: Place;
      readonly table: string;
      /** @default all of them */
      readonly chain?: string;
    }
  | { readonly kind: "chains"; readonly family: Place }
  | {
      readonly kind: "elements";
      readonly family: Place;
      readonly table: string;
      readonly set: string;
    };

export function encodeQuestion(question: Question, sequence: number): Uint8Array {
  const writer = new NetlinkWriter(REQUEST_BYTES);
  const isDump = question.kind !== "generation" && question.kind !== "table";
  const message = beginMessage(writer, {
    type: MESSAGE_TYPE[question.kind],
    flags: isDump ? NLM_F_DUMP : 0,
    sequence,
    family: question.kind === "generation" ? 0 : FAMILY_NUMBER[question.family],
  });
  switch (question.kind) {
    case "generation":
    case "chains":
      break;
    case "table":
      writer.string(TABLE.name, question.table);
      break;
    case "sets":
      writer.string(SET.table, question.table);
      break;
    case "rules":
      writer.string(RULE.table, question.table);
      if (question.chain !== undefined) writer.string(RULE.chain, question.chain);
      break;
    case "counters":
      writer.string(OBJECT.table, question.table);
      writer.u32(OBJECT.type, OBJECT_TYPE_COUNTER);
      break;
    case "elements":
      writer.string(ELEMENTS.table, question.table);
      writer.string(ELEMENTS.set, question.set);
      break;
    default:
      question satisfies never;
  }
  endMessage(writer, message);
  return writer.finish();
}

const MESSAGE_TYPE = {
  generation: MESSAGE.getGeneration,
  table: MESSAGE.getTable,
  sets: MESSAGE.getSet,
  rules: MESSAGE.getRule,
  chains: MESSAGE.getChain,
  elements: MESSAGE.getElements,
  counters: MESSAGE.getObject,
} as const;
