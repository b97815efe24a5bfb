// Random sets with random elements, for property tests of everything that carries elements.

import fc from "fast-check";
import { formatAddress } from "../ip/address.ts";
import { mergeCidrs, parseCidr } from "../ip/cidr.ts";
import type { Element, Family, Field, SetSpec } from "./objects.ts";
import { formatPriority } from "./priority.ts";

/** A set and elements that the kernel accepts together: keys differ, prefixes do not overlap. */
export interface FilledSet {
  readonly family: Family;
  readonly set: SetSpec;
  readonly elements: readonly Element[];
}

const KEY_FIELDS: readonly Field[] = [
  "saddr",
  "daddr",
  "th dport",
  "meta l4proto",
  "meta priority",
  "meta iif",
  "meta oif",
  "meta iifname",
  "index",
];
const DATA: readonly (SetSpec["data"] | undefined)[] = [
  undefined,
  "verdict",
  ["meta priority"],
  ["daddr", "th dport"],
];

/** Verdicts lead to a chain `c`. */
export function arbitrarySet(): fc.Arbitrary<FilledSet> {
  return fc.oneof(arbitraryPlainSet(), arbitraryIntervalSet());
}

/** The text of one field. */
export function arbitraryField(family: Family, field: Field): fc.Arbitrary<string> {
  switch (field) {
    case "saddr":
    case "daddr":
      return arbitraryAddress(family);
    case "th dport":
      return fc.nat(0xffff).map(String);
    case "meta l4proto":
      return fc.constantFrom("tcp", "udp", "sctp", "1", "58", "255");
    case "meta priority":
      return fc.nat(0xffffffff).map(formatPriority);
    case "index":
    case "meta iif":
    case "meta oif":
      return fc.nat(0xffffffff).map(String);
    case "meta iifname":
      return fc.stringMatching(/^[a-z0-9.@_-]{1,15}$/);
    default:
      return field satisfies never;
  }
}

function arbitraryPlainSet(): fc.Arbitrary<FilledSet> {
  return fc
    .record({
      family: fc.constantFrom<Family>("ip", "ip6"),
      key: fc.uniqueArray(fc.constantFrom(...KEY_FIELDS), { minLength: 1, maxLength: 3 }),
      data: fc.constantFrom(...DATA),
    })
    .chain(({ family, key, data }) => {
      const keys = fc.uniqueArray(arbitraryFields(family, key), { maxLength: 20 });
      return arbitraryElements(family, { ...specOf(data), key }, keys);
    });
}

function arbitraryIntervalSet(): fc.Arbitrary<FilledSet> {
  return fc
    .record({
      family: fc.constantFrom<Family>("ip", "ip6"),
      data: fc.constantFrom(...DATA),
      isConcatenation: fc.boolean(),
    })
    .chain(({ family, data, isConcatenation }) => {
      const cidrs = fc.array(arbitraryCidr(family), { maxLength: 12 }).map(mergeCidrs);
      const id = fc.nat(0xffffffff).map(formatPriority);
      const keys = isConcatenation
        ? fc.tuple(id, cidrs).map(([text, list]) => list.map((cidr) => `${text} . ${cidr}`))
        : cidrs;
      const key: readonly Field[] = isConcatenation ? ["meta priority", "saddr"] : ["saddr"];
      return arbitraryElements(family, { ...specOf(data), key, interval: true }, keys);
    });
}

function arbitraryElements(
  family: Family,
  set: SetSpec,
  keys: fc.Arbitrary<readonly string[]>,
): fc.Arbitrary<FilledSet> {
  const comment = fc.option(fc.stringMatching(/^[ -!#-[\]-~]{1,127}$/), { nil: undefined });
  const data = arbitraryData(family, set.data);
  return fc
    .tuple(keys, fc.infiniteStream(comment), fc.infiniteStream(data))
    .map(([texts, comments, values]) => {
      const elements = texts.map((key) =>
        elementOf(key, values.next().value, comments.next().value),
      );
      return { family, set, elements };
    });
}

function elementOf(key: string, data: string | undefined, comment: string | undefined): Element {
  return {
    key,
    ...(data === undefined ? {} : { data }),
    ...(comment === undefined ? {} : { comment }),
  };
}

function arbitraryData(family: Family, data: SetSpec["data"]): fc.Arbitrary<string | undefined> {
  if (data === undefined) return fc.constant(undefined);
  if (data === "verdict") return fc.constantFrom("drop", "accept", "goto c", "jump c");
  return arbitraryFields(family, data);
}

function arbitraryFields(family: Family, fields: readonly Field[]): fc.Arbitrary<string> {
  return fc
    .tuple(...fields.map((field) => arbitraryField(family, field)))
    .map((parts) => parts.join(" . "));
}

function arbitraryAddress(family: Family): fc.Arbitrary<string> {
  const length = family === "ip" ? 4 : 16;
  return fc.uint8Array({ minLength: length, maxLength: length }).map(formatAddress);
}

function arbitraryCidr(family: Family): fc.Arbitrary<string> {
  const bits = family === "ip" ? 32 : 128;
  return fc
    .tuple(arbitraryAddress(family), fc.integer({ min: 0, max: bits }))
    .map(([address, length]) => parseCidr(`${address}/${length}`))
    .filter((cidr) => cidr !== undefined);
}

function specOf(data: SetSpec["data"] | undefined): Omit<SetSpec, "key"> {
  return { name: "s", ...(data === undefined ? {} : { data }) };
}
