// Program: tells what the nf_tables of the namespace it was started in hold, and what is changed
// there, as its parent asks on stdin (`ReaderCalls`, one JSON object a line). It is not the agent
// under test, though it decodes with the same code.

import { findAttribute, readString } from "../../lib/netlink/attribute.ts";
import { openEventSocket } from "../../lib/netlink/event-socket.ts";
import { decodeMessages, NFNETLINK_HEADER_BYTES } from "../../lib/netlink/message.ts";
import { NETLINK_NETFILTER } from "../../lib/netlink/socket.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import { ELEMENTS, MESSAGE } from "../../lib/nft/nftables-abi.ts";
import type { Element, Family } from "../../lib/nft/objects.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { TABLE } from "../../service-proxy/plan/ruleset.ts";

/** Our table of one family; elements that packets write are left out. */
export interface ReadTable {
  /** By set name, sorted by key. */
  readonly sets: Readonly<Record<string, readonly Element[]>>;
  /** By chain name: equal texts for equal rules. */
  readonly chains: Readonly<Record<string, readonly string[]>>;
}

/** Calls that this program takes on standard input. */
export interface ReaderCalls {
  readonly read: {
    readonly request: { readonly family: Family };
    readonly reply: ReadTable | null;
  };
  readonly generation: { readonly request: object; readonly reply: number };
  /**
   * Names of the sets whose elements anybody added or deleted since the last call, in the order of
   * events. Sets without a name, which rules bring along, do not count.
   */
  readonly elementEvents: { readonly request: object; readonly reply: readonly string[] };
}

/** NFNLGRP_NFTABLES is group 7. */
const NFTABLES_EVENTS = 1 << 6;

if (import.meta.main) {
  let events: string[] = [];
  openEventSocket({
    protocol: NETLINK_NETFILTER,
    groups: NFTABLES_EVENTS,
    onMessage: (bytes) => events.push(...changedSets(bytes)),
    onError: (code) => events.push(code),
  });
  const kernel = await openNetlinkKernel({ thread: "here" });
  answerCalls<ReaderCalls>({
    async read({ family }) {
      const contents = await kernel.read(family, TABLE);
      if (contents === undefined) return null;
      const sets = [...contents.sets].map(([name, elements]) => {
        const sorted = [...elements.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
        return [name, sorted] as const;
      });
      return {
        sets: Object.fromEntries(sets.sort(byName)),
        chains: Object.fromEntries([...contents.chains].sort(byName)),
      };
    },
    generation: () => kernel.generation(),
    elementEvents() {
      const seen = events;
      events = [];
      return seen;
    },
  });
}

function changedSets(bytes: Uint8Array): string[] {
  return decodeMessages(bytes)
    .filter((message) => message.kind === "data")
    .filter(({ type }) => type === MESSAGE.newElements || type === MESSAGE.deleteElements)
    .map(({ payload }) => {
      const attributes = payload.subarray(NFNETLINK_HEADER_BYTES);
      return readString(findAttribute(attributes, ELEMENTS.set)) ?? "";
    })
    .filter((name) => !name.startsWith("__"));
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
