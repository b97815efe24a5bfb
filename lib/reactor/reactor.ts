// One thread's non-blocking sockets, without Node's streams: an epoll set of our own, nested in the
// event loop, read and written through libc. Why: docs/adr/0009. Everything here is synchronous and
// belongs to one thread.

import assert from "node:assert/strict";
import { epollControl, epollCreate, epollPoll, tryClose, watchReadable } from "../sys/ffi.ts";

export const READABLE = 0x1;
export const WRITABLE = 0x4;
/** The kernel says these unasked: the connection failed, or both directions ended. */
export const FAILED = 0x18;

/** Owner of a descriptor. */
export interface Watcher {
  /** @param events READABLE, WRITABLE, FAILED, or several */
  onReady(events: number): void;
}

const ADD = 1;
const REMOVE = 2;
const MODIFY = 3;

/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16;
const DATA_AT = EVENT_BYTES - 8;
const MAXIMUM_EVENTS = 256;
const READ_BUFFER_BYTES = 262_144;
/** While much is kept for slow readers: so much more at most for each that stops reading then. */
const SMALL_READ_BYTES = 16_384;
export const MUCH_KEPT_BYTES = 16 << 20;

interface Watch {
  /** Grows: an event of a descriptor that was closed and given out again is recognised. */
  readonly generation: number;
  readonly watcher: Watcher;
}

/** Watches descriptors and calls their owners, as long as the process lives. */
export class Reactor {
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  readonly #smallReadBuffer = this.#readBuffer.subarray(0, SMALL_READ_BYTES);
  readonly #epoll = epollCreate();
  readonly #watches: (Watch | undefined)[] = [];
  readonly #event = Buffer.alloc(EVENT_BYTES);
  readonly #events = Buffer.alloc(EVENT_BYTES * MAXIMUM_EVENTS);
  readonly #now: () => number;
  readonly #loop: { close(): void };
  #generation = 0;
  #keptBytes = 0;
  #nowMs: number;
  #inTick = false;
  #afterTick: (() => void)[] = [];

  /** @param now monotonic, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#nowMs = now();
    this.#loop = watchReadable(this.#epoll, () => this.#tick());
  }

  /** The time at which this round of events began; cheap, for deadlines and latencies. */
  get nowMs(): number {
    return this.#inTick ? this.#nowMs : this.#now();
  }

  /**
   * Everybody reads into this one; it is overwritten by the next read. Small while much is kept:
   * what is read then is likely to be kept, too.
   */
  get readBuffer(): Buffer {
    return this.#keptBytes < MUCH_KEPT_BYTES ? this.#readBuffer : this.#smallReadBuffer;
  }

  /** Who keeps bytes for a slow reader says so: how many more, or (negative) fewer. */
  kept(lengthBytes: number): void {
    this.#keptBytes += lengthBytes;
  }

  add(fd: number, events: number, watcher: Watcher): void {
    this.#generation = (this.#generation + 1) & 0x7fff_ffff;
    this.#watches[fd] = { generation: this.#generation, watcher };
    this.#control(ADD, fd, events, this.#generation);
  }

  modify(fd: number, events: number): void {
    this.#control(MODIFY, fd, events, this.#watches[fd]?.generation ?? 0);
  }

  /** Forgets the descriptor and closes it. */
  close(fd: number): void {
    this.release(fd);
    tryClose(fd);
  }

  /** Forgets the descriptor without closing it. */
  release(fd: number): void {
    if (this.#watches[fd] === undefined) return;
    this.#watches[fd] = undefined;
    this.#control(REMOVE, fd, 0, 0);
  }

  /** Runs once, after the events of this round, or soon when there is no round. */
  later(work: () => void): void {
    this.#afterTick.push(work);
    if (!this.#inTick && this.#afterTick.length === 1) setImmediate(() => this.#tick());
  }

  /**
   * Handles what has come already. For whoever changes what it means: what waits to be accepted was
   * sent as things were. Not from within a round of events.
   */
  catchUp(): void {
    assert(!this.#inTick, "a round of events is not part of another");
    this.#tick();
  }

  /** Stops. Descriptors that are still watched stay open. */
  stop(): void {
    this.#loop.close();
    tryClose(this.#epoll);
  }

  #control(operation: number, fd: number, events: number, generation: number): void {
    const event = this.#event;
    event.writeUInt32LE(events, 0);
    event.writeInt32LE(fd, DATA_AT);
    event.writeInt32LE(generation, DATA_AT + 4);
    epollControl(this.#epoll, operation, fd, event);
  }

  #tick(): void {
    this.#nowMs = this.#now();
    this.#inTick = true;
    const count = epollPoll(this.#epoll, this.#events, MAXIMUM_EVENTS);
    for (let i = 0; i < count; i++) {
      const at = i * EVENT_BYTES;
      const watch = this.#watches[this.#events.readInt32LE(at + DATA_AT)];
      if (watch === undefined) continue;
      if (watch.generation !== this.#events.readInt32LE(at + DATA_AT + 4)) continue;
      watch.watcher.onReady(this.#events.readUInt32LE(at));
    }
    while (this.#afterTick.length > 0) {
      const work = this.#afterTick;
      this.#afterTick = [];
      for (const one of work) one();
    }
    this.#inTick = false;
  }
}
