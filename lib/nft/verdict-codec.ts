// Verdicts between text (`goto mod-4`, `drop`) and the attribute that rules and maps share.

import assert from "node:assert/strict";
import { findAttribute, type NetlinkWriter, readString, readU32 } from "../netlink/attribute.ts";
import { DATA, VERDICT } from "./nftables-abi.ts";

const CODE: ReadonlyMap<string, number> = new Map([
  ["drop", 0],
  ["accept", 1],
  ["continue", -1],
  ["jump", -3],
  ["goto", -4],
  ["return", -5],
]);
const NAME = new Map([...CODE].map(([name, code]) => [code, name]));

/** Writes a verdict into open rule data or map data. */
export function encodeVerdict(writer: NetlinkWriter, text: string): void {
  const space = text.indexOf(" ");
  const code = CODE.get(space < 0 ? text : text.slice(0, space));
  assert(code !== undefined, `No verdict: "${text}"`);
  const verdict = writer.begin(DATA.verdict);
  writer.u32(VERDICT.code, code);
  if (space >= 0) writer.string(VERDICT.chain, text.slice(space + 1));
  writer.end(verdict);
}

/** Reads what `DATA.verdict` holds; undefined when it is none. Never throws. */
export function decodeVerdict(bytes: Uint8Array): string | undefined {
  const code = readU32(findAttribute(bytes, VERDICT.code));
  const name = code === undefined ? undefined : NAME.get(code | 0);
  if (name === undefined) return undefined;
  const chain = readString(findAttribute(bytes, VERDICT.chain));
  return chain === undefined ? name : `${name} ${chain}`;
}
