// Many connections that do as little as keeps them, and when the other side has had enough.

import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { HoldReport, HoldRequest } from "./fault-client-protocol.ts";

const STEP_MS = 20;

export class HeldConnections {
  readonly #request: HoldRequest;
  readonly #sockets = new Set<Socket>();
  readonly #cutMs: number[] = [];
  readonly #answers = new Map<string, number>();
  readonly #opened: Promise<void>;
  #connected = 0;
  #released = false;

  constructor(request: HoldRequest) {
    this.#request = request;
    this.#opened = this.#open();
  }

  /** Resolves when all connections were tried. */
  opened(): Promise<void> {
    return this.#opened;
  }

  report(): HoldReport {
    const sorted = this.#cutMs.toSorted((a, b) => a - b);
    const at = (share: number): number =>
      Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
    return {
      opened: this.#connected,
      stillOpen: this.#sockets.size,
      cutMs: { least: at(0), middle: at(0.5), most: at(1) },
      answers: Object.fromEntries(this.#answers),
    };
  }

  release(): void {
    this.#released = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async #open(): Promise<void> {
    const { count, ratePerSecond } = this.#request;
    const startMs = performance.now();
    for (let started = 0; started < count; ) {
      const due = Math.ceil(((performance.now() - startMs) * ratePerSecond) / 1000);
      while (started < Math.min(due, count)) {
        this.#one();
        started++;
      }
      await delay(STEP_MS);
    }
  }

  #one(): void {
    const { address, port, first, drip, dripMs, reads } = this.#request;
    const socket = connect({ host: address, port, noDelay: true });
    let startMs = performance.now();
    let dripping: NodeJS.Timeout | undefined;
    socket.once("connect", () => {
      this.#connected++;
      this.#sockets.add(socket);
      startMs = performance.now();
      socket.write(first);
      if (drip !== "") dripping = setInterval(() => socket.write(drip), dripMs);
    });
    if (reads) {
      socket.once("data", (bytes: Buffer) => {
        const line = bytes.toString("latin1").split("\r\n")[0] ?? "";
        this.#answers.set(line, (this.#answers.get(line) ?? 0) + 1);
      });
      socket.on("data", () => {});
    } else socket.pause();
    const cut = (): void => {
      clearInterval(dripping);
      if (!this.#sockets.delete(socket) || this.#released) return;
      this.#cutMs.push(performance.now() - startMs);
    };
    socket.once("end", cut);
    socket.once("close", cut);
    socket.on("error", () => {});
  }
}
