// The body of one HTTP/2 message on its way out, and the credit for the other one coming in: what
// windows do not take waits here, and what cannot be passed on is not acknowledged.

import type { H2Connection } from "../../lib/http/h2-connection.ts";
import type { FieldLines } from "../../lib/http/message.ts";
import { copyToKeep, restOf } from "../../lib/reactor/kept-bytes.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";

const NOTHING = Buffer.alloc(0);

export class H2Flow {
  readonly #reactor: Reactor;
  readonly #connection: H2Connection;
  readonly #streamId: number;
  #waiting: Buffer[] = [];
  #end: FieldLines | undefined;
  #paused = false;
  #owedBytes = 0;

  constructor(reactor: Reactor, connection: H2Connection, streamId: number) {
    this.#reactor = reactor;
    this.#connection = connection;
    this.#streamId = streamId;
  }

  /** Whether something waits for a window. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** @returns false when some of it waits: `onWindow` must follow before more is written */
  write(bytes: Buffer, start: number, end: number): boolean {
    let at = start;
    if (this.#waiting.length === 0) {
      at += this.#connection.data(this.#streamId, bytes, start, end, false);
      if (at === end) return true;
    }
    this.#waiting.push(copyToKeep(bytes, at, end));
    this.#reactor.kept(end - at);
    return false;
  }

  /** Ends the message, after what waits. */
  end(trailers: FieldLines): void {
    this.#end = trailers;
    if (this.#waiting.length === 0) this.#finish(trailers);
  }

  /** @returns true when nothing waits any more */
  onWindow(): boolean {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const taken = this.#connection.data(this.#streamId, first, 0, first.length, false);
      this.#reactor.kept(-taken);
      if (taken < first.length) {
        this.#waiting[0] = restOf(first, taken);
        return false;
      }
      this.#waiting.shift();
    }
    if (this.#end !== undefined) this.#finish(this.#end);
    return true;
  }

  /** Bytes of the peer were passed on, or dropped. */
  received(lengthBytes: number): void {
    if (this.#paused) this.#owedBytes += lengthBytes;
    else this.#connection.consumed(this.#streamId, lengthBytes);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#owedBytes === 0) return;
    const owed = this.#owedBytes;
    this.#owedBytes = 0;
    this.#connection.consumed(this.#streamId, owed);
  }

  /** The stream is over: forgets what waits. */
  close(): void {
    this.resume();
    for (const { length } of this.#waiting) this.#reactor.kept(-length);
    this.#waiting = [];
  }

  #finish(trailers: FieldLines): void {
    if (trailers.length > 0) this.#connection.trailers(this.#streamId, trailers);
    else this.#connection.data(this.#streamId, NOTHING, 0, 0, true);
  }
}
