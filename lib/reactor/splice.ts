// Two connections joined: what comes from one goes to the other, unread. Backpressure both ways,
// half-close as it comes, a reset for a reset.

import type { ByteStream, StreamOwner } from "./byte-stream.ts";

/** Both ended in order; one broke off, which reset the other; or `abort`. */
export type SpliceResult = "ok" | "reset" | "aborted";

/** Some reader may be slow: see ByteStream.awaitReader. */
const STALLED_AFTER_MS = 10_000;

/** Owns both from its making on. */
export class Splice {
  readonly #near: Side;
  readonly #far: Side;
  readonly #onEnd: (result: SpliceResult) => void;
  #movedBytes = 0;
  #movedMs = 0;
  #open = 2;

  /** @param near open, as is `far`; may be paused. @param onEnd called once */
  constructor(near: ByteStream, far: ByteStream, onEnd: (result: SpliceResult) => void) {
    this.#onEnd = onEnd;
    const closed = (side: Side, code: string | undefined): void => this.#closed(side, code);
    this.#near = new Side(near, far, closed);
    this.#far = new Side(far, near, closed);
    near.owner = this.#near;
    far.owner = this.#far;
    near.resume();
    far.resume();
  }

  /** What the near one sent. */
  get nearBytes(): number {
    return this.#near.bytes;
  }

  get farBytes(): number {
    return this.#far.bytes;
  }

  /** To be called every few seconds. */
  sweep(nowMs: number): void {
    const bytes = this.nearBytes + this.farBytes;
    if (bytes !== this.#movedBytes || this.#movedMs === 0) {
      this.#movedBytes = bytes;
      this.#movedMs = nowMs;
    } else if (nowMs - this.#movedMs >= STALLED_AFTER_MS) {
      this.#near.stream.awaitReader();
      this.#far.stream.awaitReader();
    }
  }

  /** Resets both. */
  abort(): void {
    if (this.#open === 0) return;
    this.#near.stream.reset();
    this.#far.stream.reset();
    this.#end("aborted");
  }

  #closed(side: Side, code: string | undefined): void {
    if (this.#open === 0) return;
    if (code !== undefined) {
      side.other.reset();
      return this.#end("reset");
    }
    side.other.end();
    if (--this.#open === 0) this.#end("ok");
  }

  #end(result: SpliceResult): void {
    this.#open = 0;
    this.#onEnd(result);
  }
}

/** What one of the two tells. */
class Side implements StreamOwner {
  readonly stream: ByteStream;
  readonly other: ByteStream;
  bytes = 0;
  readonly #closed: (side: Side, code: string | undefined) => void;

  constructor(
    stream: ByteStream,
    other: ByteStream,
    closed: (side: Side, code: string | undefined) => void,
  ) {
    this.stream = stream;
    this.other = other;
    this.#closed = closed;
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.bytes += end - start;
    if (!this.other.write(bytes, start, end)) this.stream.pause();
  }

  onEnd(): void {
    this.other.end();
  }

  /** What waited in this one is sent: the other may go on. */
  onDrained(): void {
    this.other.resume();
  }

  onClosed(code: string | undefined): void {
    this.#closed(this, code);
  }
}
