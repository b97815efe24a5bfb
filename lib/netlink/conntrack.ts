// The kernel's table of tracked flows, over ctnetlink.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";
import type { AddressFamily } from "../ip/address.ts";
import { errnoName, SystemError } from "../sys/ffi.ts";
import { decodeConntrackChunk, decodeConntrackCount } from "./conntrack-codec.ts";
import { type ConntrackEntry, protocolUdp } from "./conntrack-entry.ts";
import {
  encodeConntrackDelete,
  encodeConntrackDump,
  encodeConntrackStatistics,
} from "./conntrack-request.ts";
import { ConntrackError, type ConntrackTable, type FlowSelection } from "./conntrack-table.ts";
import { type Dump, dumpHere, dumpOnThread } from "./dump.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./socket.ts";

const LIST = "list conntrack entries";
const REMOVE = "remove a conntrack entry";
const ENOENT = 2;
const WALK_ATTEMPTS = 5;
/** How long the event loop is held at a time. */
const SLICE_MS = 5;
/**
 * Up to so many flows the walk runs on the event loop. Flows of other protocols cost 0.3 µs each
 * and 262,144 hash buckets 11 ms (kernel 6.18), all within one system call.
 */
const FLOWS_ON_LOOP = 20_000;

/**
 * Opens the table of the calling thread's network namespace; needs CAP_NET_ADMIN.
 * @throws ConntrackError
 */
export function openConntrackTable(clock: Clock): ConntrackTable {
  const socket = asking("open the conntrack table", () => NetlinkSocket.open(NETLINK_NETFILTER));
  return new KernelConntrack(socket, clock);
}

class KernelConntrack implements ConntrackTable {
  readonly #socket: NetlinkSocket;
  readonly #clock: Clock;
  #sequence = 0;
  #sliceEndMs = 0;

  constructor(socket: NetlinkSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  async *list(
    family: AddressFamily,
    { protocol = protocolUdp, unmarked = 0 }: FlowSelection = {},
  ): AsyncGenerator<readonly ConntrackEntry[]> {
    for (let attempt = 0; attempt < WALK_ATTEMPTS; attempt++) {
      const interrupted = yield* this.#walk(family, { protocol, unmarked });
      if (!interrupted) return;
    }
    throw new ConntrackError(LIST, "EINTR");
  }

  async remove(entry: ConntrackEntry): Promise<"removed" | "absent"> {
    await this.#breathe();
    const request = encodeConntrackDelete(entry, this.#nextSequence());
    const [answer] = asking(REMOVE, () => this.#socket.exchange(request));
    const errno = answer?.kind === "error" ? answer.errno : -1;
    if (errno === 0) return "removed";
    if (errno === ENOENT) return "absent";
    throw new ConntrackError(REMOVE, errno < 0 ? "no answer" : errnoName(errno));
  }

  close(): void {
    this.#socket.close();
  }

  /** @returns whether the kernel interrupted the walk */
  async *#walk(
    family: AddressFamily,
    selection: Required<FlowSelection>,
  ): AsyncGenerator<readonly ConntrackEntry[], boolean> {
    const sequence = this.#nextSequence();
    const dump = this.#startDump(encodeConntrackDump(family, selection, sequence));
    let interrupted = false;
    try {
      for (;;) {
        const part = await dump.next();
        if (part.kind === "failed") throw new ConntrackError(LIST, part.code);
        const chunk = decodeConntrackChunk(part.bytes, sequence);
        interrupted ||= chunk.interrupted;
        const flows = chunk.entries.filter((entry) => entry.protocol === selection.protocol);
        if (flows.length > 0) yield flows;
        const errno = chunk.end?.errno;
        if (errno === 0) return interrupted;
        if (errno !== undefined) throw new ConntrackError(LIST, errnoName(errno));
        await this.#breathe();
      }
    } finally {
      await dump.close();
    }
  }

  #startDump(request: Uint8Array): Dump {
    const order = { protocol: NETLINK_NETFILTER, request };
    const start = this.#countFlows() > FLOWS_ON_LOOP ? dumpOnThread : dumpHere;
    return asking(LIST, () => start(order));
  }

  /** Flows of every protocol and family; as many as can be when the kernel does not say. */
  #countFlows(): number {
    const request = encodeConntrackStatistics(this.#nextSequence());
    const [answer] = asking(LIST, () => this.#socket.exchange(request));
    if (answer?.kind !== "data") return Number.POSITIVE_INFINITY;
    return decodeConntrackCount(answer.payload) ?? Number.POSITIVE_INFINITY;
  }

  /** Lets others run when this slice of time is used up. */
  async #breathe(): Promise<void> {
    if (this.#clock.monotonicMs() < this.#sliceEndMs) return;
    await nextTurn();
    this.#sliceEndMs = this.#clock.monotonicMs() + SLICE_MS;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence % 0xffff_ffff) + 1;
    return this.#sequence;
  }
}

function asking<T>(action: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const code = error instanceof SystemError ? error.code : "EIO";
    throw new ConntrackError(action, code, error);
  }
}
