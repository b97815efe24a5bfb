// The contract of a table of tracked flows.

import type { AddressFamily } from "../ip/address.ts";
import type { ConntrackEntry } from "./conntrack-entry.ts";

/** Which flows of a family to list. */
export interface FlowSelection {
  /** IP protocol number. @default UDP's */
  readonly protocol?: number;
  /** Bits of conntrack's mark that none of them has. @default none */
  readonly unmarked?: number;
}

/** One contract suite runs against every implementation. */
export interface ConntrackTable {
  /**
   * Walks flows of one family and protocol in slices, reading on only when asked for the next:
   * memory stays bounded and the event loop is held for a few milliseconds at most. Flows that come
   * or go meanwhile may be missed, and a walk that the kernel interrupts starts again, so a flow
   * may be seen twice.
   * @throws ConntrackError, with code EINTR when every attempt was interrupted
   */
  list(family: AddressFamily, selection?: FlowSelection): AsyncIterable<readonly ConntrackEntry[]>;
  /**
   * Removes this flow, never a later one of that client that leads to another endpoint.
   * @throws ConntrackError when the kernel refuses for another reason than absence
   */
  remove(entry: ConntrackEntry): Promise<"removed" | "absent">;
  close(): void;
}

/** The kernel refused, or could not be asked. `code` is the errno name, as in `EPERM`. */
export class ConntrackError extends Error {
  override readonly name = "ConntrackError";
  readonly code: string;

  constructor(action: string, code: string, cause?: unknown) {
    super(`Cannot ${action}: kernel returned ${code}`, { cause });
    this.code = code;
  }
}
