// One buffer for all connections of a thread: what goes to one of them in one round of events
// leaves as one write, without a buffer of its own for each.

import type { Reactor } from "./reactor.ts";

/** Somebody who has bytes in the buffer. */
export interface BufferOwner {
  /** Sends what it has in the buffer and sets `lengthBytes` to 0. */
  flush(): void;
}

export class OutputBuffer {
  /** Its owner's, up to `lengthBytes`. */
  readonly bytes: Buffer;
  lengthBytes = 0;
  readonly #reactor: Pick<Reactor, "later">;
  #owner: BufferOwner | undefined;
  #scheduled = false;

  constructor(reactor: Pick<Reactor, "later">, sizeBytes: number) {
    this.#reactor = reactor;
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** Makes the buffer this owner's until the end of the round; what another has in it is sent. */
  take(owner: BufferOwner): void {
    if (this.#owner === owner) return;
    this.#owner?.flush();
    this.#owner = owner;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#reactor.later(this.#flush);
  }

  isOwner(owner: BufferOwner): boolean {
    return this.#owner === owner;
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#owner?.flush();
    this.#owner = undefined;
  };
}
