// The body of one request, as far as it may have to be sent (again): while there is no connection
// yet, while a retry is possible, and for mirrors. Bounded; what is larger is sent once only.

import type { FieldLines } from "../../lib/http/message.ts";

/** Kept of one request. */
const MOST_KEPT_BYTES = 65_536;

export class RequestBody {
  #chunks: Buffer[] = [];
  #keptBytes = 0;
  #whole = true;
  #trailers: FieldLines | undefined;

  /** Whether all that came so far is kept. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Whether no more should be taken from the client until this has been sent. */
  get full(): boolean {
    return this.#keptBytes >= MOST_KEPT_BYTES;
  }

  /** Undefined until the request is complete. */
  get trailers(): FieldLines | undefined {
    return this.#trailers;
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks;
  }

  keep(bytes: Buffer, start: number, end: number): void {
    this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
    this.#keptBytes += end - start;
  }

  /** Keeps no more, and forgets what was kept: it cannot be sent again. */
  forget(): void {
    this.#chunks = [];
    this.#keptBytes = 0;
    this.#whole = false;
  }

  ended(trailers: FieldLines): void {
    this.#trailers = trailers;
  }
}
