// Bytes that were read of one HTTP/1.1 connection before anybody may have them.

import assert from "node:assert/strict";
import { copyToKeep } from "../../lib/reactor/kept-bytes.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";

export class HeldBytes {
  readonly #reactor: Reactor;
  #bytes: Buffer | undefined;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  get isEmpty(): boolean {
    return this.#bytes === undefined;
  }

  /** Keeps a copy. There must be none. */
  hold(bytes: Buffer, start: number, end: number): void {
    assert(this.#bytes === undefined, "bytes are passed on in order");
    this.#bytes = copyToKeep(bytes, start, end);
    this.#reactor.kept(end - start);
  }

  /** Also to forget them. */
  take(): Buffer | undefined {
    const bytes = this.#bytes;
    this.#bytes = undefined;
    if (bytes !== undefined) this.#reactor.kept(-bytes.length);
    return bytes;
  }
}
