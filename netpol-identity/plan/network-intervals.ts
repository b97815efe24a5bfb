// Blocks of addresses and ranges of ports as the intervals of nf_tables sets: sorted, apart from
// each other, as few as can be.

import { addressBytes, familyOf } from "../../lib/ip/address.ts";
import { splitCidr } from "../../lib/ip/cidr.ts";
import { readRange } from "../../lib/nft/element-codec.ts";
import type { Family } from "../../lib/nft/objects.ts";
import type { AddressBlock, PortRange } from "../evaluate/policy-set.ts";

/** Both ends are inside. */
interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/**
 * The addresses of one family that some block has, and does not except.
 * @returns keys of an interval set, such as `10.0.0.0/8` or `10.0.0.3-10.0.0.9`; "all" for every
 * address there is
 */
export function addressIntervals(
  blocks: readonly AddressBlock[],
  family: Family,
): readonly string[] | "all" {
  const bits = family === "ip" ? 32 : 128;
  const isOwn = (cidr: string): boolean => familyOf(cidr) === family;
  const own = blocks.filter(({ cidr }) => isOwn(cidr));
  const left = own.flatMap(({ cidr, except }) =>
    except
      .filter(isOwn)
      .map(intervalOf)
      .reduce(without, [intervalOf(cidr)]),
  );
  const merged = merge(left);
  const [only] = merged;
  if (only !== undefined && only.last - only.first === (1n << BigInt(bits)) - 1n) return "all";
  return merged.map(({ first, last }) =>
    readRange(family, ["saddr"], bytesOf(first, bits), bytesOf(last, bits)),
  );
}

/** @returns keys of an interval set of protocols and ports, such as `tcp . 80-90` */
export function portIntervals(ports: readonly PortRange[]): readonly string[] {
  return (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) => {
    const own = ports.filter((range) => range.protocol === protocol);
    const merged = merge(own.map((r) => ({ first: BigInt(r.first), last: BigInt(r.last) })));
    return merged.map(({ first, last }) => {
      const range = first === last ? `${first}` : `${first}-${last}`;
      return `${protocol.toLowerCase()} . ${range}`;
    });
  });
}

function intervalOf(cidr: string): Interval {
  const { address, length } = splitCidr(cidr);
  const bytes = addressBytes(address);
  const first = BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  return { first, last: first + (1n << BigInt(bytes.length * 8 - length)) - 1n };
}

function without(left: readonly Interval[], hole: Interval): Interval[] {
  return left.flatMap(({ first, last }) => {
    if (hole.last < first || hole.first > last) return [{ first, last }];
    return [
      ...(first < hole.first ? [{ first, last: hole.first - 1n }] : []),
      ...(last > hole.last ? [{ first: hole.last + 1n, last }] : []),
    ];
  });
}

/** Joins what overlaps or touches. */
function merge(intervals: readonly Interval[]): readonly Interval[] {
  const merged: Interval[] = [];
  for (const next of intervals.toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    const before = merged.at(-1);
    if (before === undefined || next.first > before.last + 1n) merged.push(next);
    else if (next.last > before.last) merged[merged.length - 1] = { ...before, last: next.last };
  }
  return merged;
}

function bytesOf(value: bigint, bits: number): Uint8Array {
  return Buffer.from(value.toString(16).padStart(bits / 4, "0"), "hex");
}
