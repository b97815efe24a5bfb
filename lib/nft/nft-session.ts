// One nfnetlink socket and the synchronous exchanges over it. `kernel.ts` runs it in a worker
// thread, so that a large commit does not stop the event loop.

import type { Message } from "../netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../netlink/socket.ts";
import { SystemError } from "../sys/ffi.ts";
import {
  decodeChain,
  decodeCounter,
  decodeElements,
  decodeGeneration,
  decodeRule,
  decodeSet,
  isDormantTable,
  type SetDescription,
} from "./decode.ts";
import { encodeQuestion, type Question } from "./encode-request.ts";
import type { Element, Place, TableContents } from "./objects.ts";

/**
 * The kernel calls a dump interrupted when anybody commits anything in this namespace. Somebody
 * who never pauses would stop us from ever reading: after so many tries what came is taken. It is
 * whole unless it was our own table that changed, which an audit finds.
 */
const DUMP_ATTEMPTS = 10;
const READ_ATTEMPTS = 5;
const ENOENT = 2;
const EAGAIN = 11;
const EIO = 5;

/** One answer to a batch; errno 0 acknowledges. */
export type Answer = Extract<Message, { kind: "error" }>;

/** Owns a socket; every method blocks the thread until the kernel has answered. */
export class NftSession {
  #socket: NetlinkSocket;
  #sequence = 0;
  /** The read under way meets others' commits all the time: it takes what comes. */
  #isBusy = false;

  /** Opens in the network namespace of the calling thread. @throws SystemError */
  constructor() {
    this.#socket = NetlinkSocket.open(NETLINK_NETFILTER);
  }

  /** Sends a batch. @returns the kernel's answers, in order @throws SystemError */
  commit(batch: Uint8Array): Answer[] {
    this.#isBusy = false;
    return this.#socket.exchange(batch).filter((message) => message.kind === "error");
  }

  /** The ruleset generation. @throws SystemError */
  generation(): number {
    const generation = decodeGeneration(this.#ask({ kind: "generation" }));
    if (generation === undefined) throw new SystemError("read the nft generation", EIO);
    return generation;
  }

  /** The named sets of a table; none when there is no such table. @throws SystemError */
  sets(family: Place, table: string): SetDescription[] {
    if (this.#describe(family, table) === undefined) return [];
    return this.#dump({ kind: "sets", family, table })
      .map((payload) => decodeSet(family, payload))
      .filter((set) => set !== undefined)
      .filter((set) => !set.isAnonymous);
  }

  /**
   * Reads a table as one generation shows it. The kernel walks a big set anew for each 32 KiB, so
   * 100,000 elements take a second. Where others commit all the time, each set is as it was while
   * it was read.
   * @throws SystemError
   */
  read(family: Place, table: string): TableContents | undefined {
    this.#isBusy = false;
    for (let attempt = 1; ; attempt++) {
      const before = this.generation();
      const contents = this.#readOnce(family, table);
      if (this.#isBusy || attempt === READ_ATTEMPTS) return contents;
      if (this.generation() === before) return contents;
    }
  }

  /**
   * The rules of a table by chain; empty when there is no such table. A policy that drops counts
   * as a last rule; chains of a dormant table have no rules: none is in force.
   * @throws SystemError
   */
  readRules(family: Place, table: string): Map<string, string[]> {
    const chains = new Map<string, string[]>();
    const dropping: string[] = [];
    const isDormant = this.#describe(family, table)?.isDormant === true;
    for (const payload of this.#dump({ kind: "chains", family })) {
      const chain = decodeChain(payload);
      if (chain.table !== table || chain.name === undefined) continue;
      chains.set(chain.name, []);
      if (chain.dropsByPolicy) dropping.push(chain.name);
    }
    if (isDormant) return chains;
    for (const payload of this.#dump({ kind: "rules", family, table })) {
      const { chain, fingerprint } = decodeRule(payload);
      if (chain !== undefined) chains.get(chain)?.push(fingerprint);
    }
    for (const chain of dropping) chains.get(chain)?.push("policy drop");
    return chains;
  }

  /** As `readRules`, of these chains alone: what a policy or dormancy adds is not looked at. */
  readRulesOf(family: Place, table: string, chains: readonly string[]): Map<string, string[]> {
    const rulesOf = (chain: string): string[] =>
      this.#dump({ kind: "rules", family, table, chain }).map(
        (payload) => decodeRule(payload).fingerprint,
      );
    return new Map(chains.map((chain) => [chain, rulesOf(chain)]));
  }

  /** Packets that the counters of a table have seen. @throws SystemError */
  readCounters(family: Place, table: string): Map<string, number> {
    const counters = new Map<string, number>();
    for (const payload of this.#dump({ kind: "counters", family, table })) {
      const { table: owner, name, packets } = decodeCounter(payload);
      if (owner === table && name !== undefined) counters.set(name, packets);
    }
    return counters;
  }

  close(): void {
    this.#socket.close();
  }

  #readOnce(family: Place, table: string): TableContents | undefined {
    if (this.#describe(family, table) === undefined) return undefined;
    const sets = new Map<string, ReadonlyMap<string, Element>>();
    for (const set of this.sets(family, table)) {
      sets.set(set.name, set.isVolatile ? new Map() : this.#elements(family, table, set));
    }
    return { sets, chains: this.readRules(family, table) };
  }

  /**
   * A hash table that still grows after a commit moves elements while the kernel walks it by
   * position: it then reports some twice and as many others not at all.
   */
  #elements(place: Place, table: string, set: SetDescription): Map<string, Element> {
    const question = { kind: "elements", family: place, table, set: set.name } as const;
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const { elements, repeated } = decodeElements(set, this.#dump(question));
      if (repeated === 0) return elements;
    }
    throw new SystemError("read nft elements", EAGAIN);
  }

  /** Undefined when there is no such table. */
  #describe(family: Place, table: string): { readonly isDormant: boolean } | undefined {
    try {
      return { isDormant: isDormantTable(this.#ask({ kind: "table", family, table })) };
    } catch (cause) {
      if (cause instanceof SystemError && cause.errno === ENOENT) return undefined;
      throw cause;
    }
  }

  #ask(question: Question): Uint8Array {
    const sequence = ++this.#sequence;
    for (const message of this.#socket.exchange(encodeQuestion(question, sequence))) {
      if (message.sequence !== sequence) continue;
      if (message.kind === "data") return message.payload;
      if (message.errno !== 0) throw new SystemError(`read nft ${question.kind}`, message.errno);
    }
    throw new SystemError(`read nft ${question.kind}`, EIO);
  }

  #dump(question: Question): readonly Uint8Array[] {
    for (let attempt = 1; ; attempt++) {
      const sequence = ++this.#sequence;
      if (attempt === DUMP_ATTEMPTS) this.#isBusy = true;
      const interruption = this.#isBusy ? "accept" : "give up";
      const request = encodeQuestion(question, sequence);
      const dump = this.#socket.dump(request, sequence, interruption);
      if (dump.kind === "whole") return dump.payloads;
      this.#socket.close();
      this.#socket = NetlinkSocket.open(NETLINK_NETFILTER);
    }
  }
}
