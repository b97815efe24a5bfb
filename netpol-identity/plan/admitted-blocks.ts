// Which addresses of a whole family some set admits, as few prefixes as can be. The named prefixes
// cut the space into parts that every rule sees as one, so one address of each part is judged.

import { type Address, formatAddress, addressBytes, familyOf } from "../../lib/ip/address.ts";
import { type Cidr, hostCidr, splitCidr } from "../../lib/ip/cidr.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { judge } from "../evaluate/judge.ts";
import type { Groups, PolicySet } from "../evaluate/policy-set.ts";
import { groupsOf, rulesOf } from "./set-verdicts.ts";

/** A set, and the port about which it is asked. */
export interface AskedSet {
  readonly set: PolicySet;
  readonly port: number;
}

export interface BlocksQuestion {
  readonly family: Family;
  /** One of them must admit an address. */
  readonly sets: readonly AskedSet[];
  /** Whether those that groups name are among them; the others are in no group. */
  readonly hasMembers: boolean;
}

/**
 * Judges connections over TCP that prove no identity.
 * @returns disjoint prefixes, as short as can be
 */
export function admittedBlocks(
  { family, sets, hasMembers }: BlocksQuestion,
  groups: Groups,
): readonly Cidr[] {
  const strangers: Groups = {
    addresses: () => undefined,
    identities: (group) => groups.identities(group),
  };
  const admits = (address: Address, isHost: boolean): boolean =>
    sets.some(({ set, port }) => {
      const flow = { protocol: "TCP", port, address, identity: null } as const;
      return judge(set, flow, isHost ? groups : strangers).kind !== "deny";
    });
  const members = hasMembers ? sets.flatMap(({ set }) => membersOf(set, groups)) : [];
  const named = [...sets.flatMap(({ set }) => cidrsOf(set)), ...members.map(hostCidr)]
    .filter((cidr) => familyOf(cidr) === family)
    .map(bitsOf);
  return new Cut(family, [...new Set(named)].sort(), admits).admitted();
}

function membersOf(set: PolicySet, groups: Groups): readonly Address[] {
  return groupsOf(set).addresses.flatMap((group) => [...(groups.addresses(group) ?? [])]);
}

function cidrsOf(set: PolicySet): readonly Cidr[] {
  return rulesOf(set).flatMap(({ peers }) =>
    peers === "any" ? [] : peers.blocks.flatMap(({ cidr, except }) => [cidr, ...except]),
  );
}

function bitsOf(cidr: Cidr): string {
  const { address, length } = splitCidr(cidr);
  const bits = Array.from(addressBytes(address), (byte) => byte.toString(2).padStart(8, "0"));
  return bits.join("").slice(0, length);
}

type Outcome = "admitted" | "denied" | "mixed";

/** Walks down the prefixes that something is named in. Prefixes are texts of bits here. */
class Cut {
  readonly #named: readonly string[];
  readonly #admits: (address: Address, isHost: boolean) => boolean;
  readonly #length: number;
  /** By the longest named prefix around a part: parts inside the same ones are judged alike. */
  readonly #known = new Map<string, boolean>();
  readonly #found: string[] = [];

  /** @param named sorted, so that a prefix precedes those inside it */
  constructor(
    family: Family,
    named: readonly string[],
    admits: (address: Address, isHost: boolean) => boolean,
  ) {
    this.#named = named;
    this.#admits = admits;
    this.#length = family === "ip" ? 32 : 128;
  }

  admitted(): readonly Cidr[] {
    if (this.#walk("", "", 0, this.#named.length) === "admitted") this.#found.push("");
    return this.#found.map((bits) => `${this.#address(bits)}/${bits.length}`);
  }

  /**
   * @param around the longest named prefix that holds `bits`
   * @param from of the named prefixes that begin with `bits`
   */
  #walk(bits: string, around: string, from: number, to: number): Outcome {
    if (this.#named[from] === bits && from < to) return this.#walk(bits, bits, from + 1, to);
    if (from === to) return this.#judge(bits, around) ? "admitted" : "denied";
    let middle = from;
    while (middle < to && this.#named[middle]?.[bits.length] === "0") middle++;
    const halves = [`${bits}0`, `${bits}1`] as const;
    const lower = this.#walk(halves[0], around, from, middle);
    const upper = this.#walk(halves[1], around, middle, to);
    if (lower === upper && lower !== "mixed") return lower;
    if (lower === "admitted") this.#found.push(halves[0]);
    if (upper === "admitted") this.#found.push(halves[1]);
    return "mixed";
  }

  #judge(bits: string, around: string): boolean {
    let known = this.#known.get(around);
    if (known === undefined) {
      known = this.#admits(this.#address(bits), around.length === this.#length);
      this.#known.set(around, known);
    }
    return known;
  }

  #address(bits: string): Address {
    const whole = bits.padEnd(this.#length, "0");
    const bytes = Uint8Array.from({ length: this.#length / 8 }, (_, i) =>
      Number.parseInt(whole.slice(8 * i, 8 * i + 8), 2),
    );
    return formatAddress(bytes);
  }
}
