// Who serves this network namespace: one `innermesh node` at a time, the one that holds an abstract
// UNIX socket of a known name. A newcomer asks the holder for the place, late: when its own first
// plan is ready. A newcomer that dies before has changed nothing; one that dies after leaves the
// node to the kernel lane, as any agent that dies.
//
// newcomer: take over     holder: stops writing rules, frees its ports and the name
// holder:   yours         newcomer: reads the kernel's tables, starts its workers
// newcomer: listening     holder: its workers close their doors; what is queued there moves over
// holder:   closed        newcomer: commits. The holder ends after its workers' last connection.

import { Socket } from "node:net";
import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import {
  peerUserId,
  streamSocket,
  tryAccept,
  tryBind,
  tryClose,
  tryConnect,
  tryListen,
  watchReadable,
} from "../../lib/sys/ffi.ts";
import { readLines } from "./read-lines.ts";

type Word = "take over" | "yours" | "listening" | "closed";

export interface SuccessionParts {
  /** Of the abstract socket. */
  readonly name: string;
  /** Whoever is to be believed; a process of another user is not. */
  readonly userId: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** A newcomer asks for the place: stop, then `resign`. Called once. */
  readonly onAsked: () => void;
}

const AF_UNIX = 1;
const BACKLOG = 8;
const RETRY_MS = 20;
/** A holder that stops needs a commit's time, and its servers' clients'. */
const YOURS_WITHIN_MS = 10_000;
/** A newcomer reads tables and starts workers: seconds, for very large clusters. */
const LISTENING_WITHIN_MS = 60_000;
const CLOSED_WITHIN_MS = 5_000;

export class Succession {
  readonly #parts: SuccessionParts;
  readonly #signal: AbortSignal;
  readonly #address: Uint8Array;
  readonly #held = Promise.withResolvers<void>();
  #release: (() => void) | undefined;
  #predecessor: Link | undefined;
  #successor: Link | undefined;

  /** Takes the place at once, if it is free. */
  constructor(parts: SuccessionParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.#address = Uint8Array.from([AF_UNIX, 0, 0, ...Buffer.from(parts.name)]);
    signal.addEventListener("abort", () => this.#held.resolve(), { once: true });
    this.#tryHold();
  }

  /** Nobody else serves here. */
  get isHeld(): boolean {
    return this.#release !== undefined;
  }

  /** Resolves when nobody else serves here any more, or will not answer, or the signal aborts. */
  get held(): Promise<void> {
    return this.#held.promise;
  }

  /** There are workers of another process, who wait for ours. */
  get hasPredecessor(): boolean {
    return this.#predecessor !== undefined;
  }

  /** Asks whoever serves here to stop. Resolves when they have, or do not answer. */
  async takeOver(): Promise<void> {
    const { log, clock } = this.#parts;
    const signal = this.#signal;
    while (!signal.aborted && !this.#tryHold()) {
      const link = this.#predecessor === undefined ? this.#connect() : "gone";
      if (link === "gone") {
        await clock.sleep(RETRY_MS, signal);
      } else if (link === "stranger") {
        log.warn("a process of another user pretends to serve this node", {
          socket: this.#parts.name,
        });
        break;
      } else if (!(await this.#ask(link))) break;
    }
    this.#held.resolve();
  }

  /** Our workers listen, or none is needed. Resolves when the predecessor's do no more. */
  async settle(): Promise<void> {
    const predecessor = this.#predecessor;
    if (predecessor === undefined) return;
    this.#predecessor = undefined;
    predecessor.say("listening");
    await predecessor.hears("closed", CLOSED_WITHIN_MS);
    // The link stays: by its end the one before learns of ours.
  }

  /**
   * Gives the place up.
   * @returns once a successor's workers take connections; "alone" when there is none, or it died
   */
  async resign(): Promise<"succeeded" | "alone"> {
    this.close();
    const successor = this.#successor;
    if (successor === undefined) return "alone";
    successor.say("yours");
    return (await successor.hears("listening", LISTENING_WITHIN_MS)) ? "succeeded" : "alone";
  }

  /** Our workers take no connections any more. */
  farewell(): void {
    this.#successor?.say("closed");
  }

  /**
   * Waits until `signal` aborts or the successor has ended. Whoever started a process that is
   * replaced, such as the kubelet, would start it again at once: two would chase each other.
   */
  async standBy(signal: AbortSignal): Promise<void> {
    const successor = this.#successor;
    if (successor === undefined) return;
    this.#parts.log.info("handed over: waiting to be told to end", {});
    await successor.closed(signal);
    successor.close();
  }

  /** Frees the place without a word. */
  close(): void {
    this.#release?.();
    this.#release = undefined;
  }

  /** @returns false when there is no answer */
  async #ask(link: Link): Promise<boolean> {
    const { log } = this.#parts;
    this.#signal.addEventListener("abort", () => link.close(), { once: true });
    log.info("asking the agent that serves this node to hand over", {});
    link.say("take over");
    if (await link.hears("yours", YOURS_WITHIN_MS)) {
      this.#predecessor = link;
      return true;
    }
    if (link.isClosed) return true;
    log.warn("the agent that serves this node does not answer: going on without it", {});
    // It is frozen. What it finds when it thaws tells it to go.
    void link.hears("yours", Number.POSITIVE_INFINITY).then(() => {
      link.say("listening");
      link.close();
      this.#tryHold();
    });
    return false;
  }

  #tryHold(): boolean {
    if (this.#release !== undefined) return true;
    const fd = streamSocket(AF_UNIX);
    if (tryBind(fd, this.#address) < 0 || tryListen(fd, BACKLOG) < 0) {
      tryClose(fd);
      return false;
    }
    const peer = new Uint8Array(128);
    const watch = watchReadable(fd, () => {
      const accepted = tryAccept(fd, peer);
      if (accepted >= 0) setImmediate(() => this.#met(accepted));
    });
    this.#release = () => {
      watch.close();
      tryClose(fd);
    };
    this.#held.resolve();
    return true;
  }

  /** Somebody connected. */
  #met(fd: number): void {
    if (peerUserId(fd) !== this.#parts.userId) return void tryClose(fd);
    const link = new Link(fd, this.#parts.clock);
    void link.hears("take over", YOURS_WITHIN_MS).then((isAsked) => {
      // One successor is enough: others look again for who serves.
      if (!isAsked || this.#successor !== undefined) return link.close();
      this.#successor = link;
      this.#parts.log.info("a newer agent takes this node over", {});
      this.#parts.onAsked();
    });
  }

  #connect(): Link | "gone" | "stranger" {
    const fd = streamSocket(AF_UNIX);
    if (tryConnect(fd, this.#address) < 0) {
      tryClose(fd);
      return "gone";
    }
    if (peerUserId(fd) === this.#parts.userId) return new Link(fd, this.#parts.clock);
    tryClose(fd);
    return "stranger";
  }
}

/** Words that two agents say to each other, one a line. */
class Link {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #heard = new Set<string>();
  readonly #waiting = new Set<() => void>();

  constructor(fd: number, clock: Clock) {
    this.#clock = clock;
    this.#socket = new Socket({ fd });
    const wake = (): void => this.#waiting.forEach((one) => one());
    this.#socket.once("close", wake);
    readLines(this.#socket, (line) => {
      this.#heard.add(line);
      wake();
    });
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  say(word: Word): void {
    if (this.#socket.writable) this.#socket.write(`${word}\n`);
  }

  /** False when the other side is gone first, or the time is over. */
  async hears(word: Word, limitMs: number): Promise<boolean> {
    const limit = new AbortController();
    const look = (): void => {
      if (this.#heard.has(word) || this.isClosed) limit.abort();
    };
    this.#waiting.add(look);
    look();
    await this.#clock.sleep(limitMs, limit.signal);
    this.#waiting.delete(look);
    return this.#heard.has(word);
  }

  /** Resolves when the other side is gone, or `signal` aborts. */
  async closed(signal: AbortSignal): Promise<void> {
    if (this.isClosed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#socket.once("close", resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** What was said still arrives. */
  close(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }
}
