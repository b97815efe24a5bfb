// What a connection has taken and could not send yet: counted by the reactor, since all that waits
// for slow readers shares one budget.

import { restOf } from "./kept-bytes.ts";
import type { Reactor } from "./reactor.ts";

export class SendQueue {
  readonly #reactor: Pick<Reactor, "kept">;
  #parts: Buffer[] = [];
  #lengthBytes = 0;

  constructor(reactor: Pick<Reactor, "kept">) {
    this.#reactor = reactor;
  }

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** @param bytes the queue's own from here on */
  push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#count(this.#lengthBytes + bytes.length);
  }

  /** All of it as one; undefined when it is empty. */
  whole(): Buffer | undefined {
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts, this.#lengthBytes)];
    return this.#parts[0];
  }

  /** @param sentBytes so many of what `whole` gave have left */
  sent(sentBytes: number): void {
    const bytes = this.whole();
    if (bytes === undefined) return;
    this.#parts = sentBytes < bytes.length ? [restOf(bytes, sentBytes)] : [];
    this.#count(bytes.length - sentBytes);
  }

  /** Forgets it. */
  clear(): void {
    this.#parts = [];
    this.#count(0);
  }

  #count(lengthBytes: number): void {
    this.#reactor.kept(lengthBytes - this.#lengthBytes);
    this.#lengthBytes = lengthBytes;
  }
}
