// Blocks of addresses, parsed once for each list of them and kept as long as the list.

import { addressBytes } from "../../lib/ip/address.ts";
import { splitCidr } from "../../lib/ip/cidr.ts";
import type { AddressBlock } from "./policy-set.ts";

export interface Block {
  readonly within: Prefix;
  readonly except: readonly Prefix[];
}

interface Prefix {
  readonly bytes: Uint8Array;
  /** Whole bytes that must be equal, then bits of the next. */
  readonly wholeBytes: number;
  readonly mask: number;
}

const PARSED = new WeakMap<readonly AddressBlock[], readonly Block[]>();

/** @param blocks of canonical prefixes; must not change */
export function blocksOf(blocks: readonly AddressBlock[]): readonly Block[] {
  const known = PARSED.get(blocks);
  if (known !== undefined) return known;
  const parsed = blocks.map(({ cidr, except }) => ({
    within: prefixOf(cidr),
    except: except.map(prefixOf),
  }));
  PARSED.set(blocks, parsed);
  return parsed;
}

/** @param bytes of an address, in network order; none are in no block */
export function blockContains({ within, except }: Block, bytes: Uint8Array): boolean {
  if (!contains(within, bytes)) return false;
  for (const prefix of except) if (contains(prefix, bytes)) return false;
  return true;
}

function prefixOf(cidr: string): Prefix {
  const { address, length } = splitCidr(cidr);
  const mask = (0xff << (8 - (length % 8))) & 0xff;
  return { bytes: addressBytes(address), wholeBytes: length >> 3, mask };
}

function contains({ bytes: prefix, wholeBytes, mask }: Prefix, bytes: Uint8Array): boolean {
  if (prefix.length !== bytes.length) return false;
  for (let i = 0; i < wholeBytes; i++) if (prefix[i] !== bytes[i]) return false;
  return mask === 0 || (((prefix[wholeBytes] ?? 0) ^ (bytes[wholeBytes] ?? 0)) & mask) === 0;
}
