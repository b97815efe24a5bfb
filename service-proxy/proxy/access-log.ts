// The access log of one worker: a share of the requests, one JSON line each. Writing never blocks
// and never queues without end: lines that are not taken in time are dropped and counted.

import { write } from "node:fs";
import type { RequestRecord } from "../model/request-record.ts";
import { formatAccessLine } from "./access-log-record.ts";

/** Lines waiting to be written. */
const MOST_WAITING_BYTES = 1 << 20;
/** What a pipe takes as one (PIPE_BUF): lines of several workers do not mix. */
const CHUNK_BYTES = 4_096;
const RETRY_MS = 20;

/** Calls `done` once with what was written, or with why nothing was. */
export type WriteBytes = (
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
) => void;

/** Writes to an open file, pipe or terminal; the thread pool waits, not the worker. */
export function fileWriter(fd: number): WriteBytes {
  return (bytes, done) => write(fd, bytes, 0, bytes.length, null, done);
}

export class AccessLog {
  readonly #share: number;
  readonly #write: WriteBytes;
  #lines: string[] = [];
  #waitingBytes = 0;
  #lost = 0;
  #writing = false;
  #idle: (() => void)[] = [];

  /** @param share of requests that are logged, 0–1 */
  constructor(share: number, writeBytes: WriteBytes) {
    this.#share = share;
    this.#write = writeBytes;
  }

  /**
   * Whether this request is one of the share: asked before its record is made.
   * @param random in [0, 1)
   */
  wants(random: number): boolean {
    return random < this.#share;
  }

  add(record: RequestRecord): void {
    const line = formatAccessLine(record);
    if (this.#waitingBytes + line.length > MOST_WAITING_BYTES) {
      this.#lost++;
      return;
    }
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    if (this.#writing) return;
    this.#writing = true;
    // Lines of this turn of the loop go together.
    setImmediate(() => this.#writeNext());
  }

  /** Lines dropped since the last call. */
  takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** Resolves when all lines so far are written, or given up. */
  flushed(): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #writeNext(): void {
    const count = this.#nextCount();
    if (count === 0) {
      this.#writing = false;
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    const text = this.#lines.splice(0, count).join("");
    this.#waitingBytes -= text.length;
    this.#writeAll(Buffer.from(text), count);
  }

  /** How many lines make a chunk. */
  #nextCount(): number {
    let bytes = 0;
    let count = 0;
    for (const line of this.#lines) {
      bytes += Buffer.byteLength(line);
      if (count > 0 && bytes > CHUNK_BYTES) break;
      count++;
      if (bytes > CHUNK_BYTES) break;
    }
    return count;
  }

  #writeAll(bytes: Uint8Array, lines: number): void {
    this.#write(bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#writeAll(bytes, lines), RETRY_MS);
      } else if (error !== null) {
        this.#lost += lines;
        this.#writeNext();
      } else if (written < bytes.length) {
        this.#writeAll(bytes.subarray(written), lines);
      } else {
        this.#writeNext();
      }
    });
  }
}
