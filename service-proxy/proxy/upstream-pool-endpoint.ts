// The connections to one endpoint from one source address: idle ones of HTTP/1.1, the last used
// first, so that those not needed grow old; and shared ones of HTTP/2.

import type { ByteStream } from "../../lib/reactor/byte-stream.ts";
import type { Expiring } from "./deadlines.ts";
import type { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { UpstreamDialling, type UpstreamDialParts } from "./upstream-pool-dial.ts";
import { UpstreamH1 } from "./upstream-pool-h1.ts";
import {
  refusedWait,
  UPSTREAM_IDLE_MS,
  type UpstreamOwner,
  type UpstreamStream,
  type UpstreamTarget,
  type UpstreamWait,
} from "./upstream-pool-stream.ts";

/** Below the 5 s of others: what may not be sent twice is not sent where the end may be near. */
const YOUNG_MS = 4_000;
const MOST_IDLE = 1_024;

/** Which connection will do: any, one used within the last seconds, or only a new one. */
export type Freshness = "any" | "young" | "new";

export interface PoolParts extends UpstreamDialParts {
  readonly output: OutputBuffer;
}

interface IdleConnection {
  readonly connection: UpstreamH1;
  readonly sinceMs: number;
}

export class UpstreamPool implements Expiring {
  readonly #parts: PoolParts;
  readonly #onEmpty: () => void;
  /** The last used stands last. */
  readonly #idle: IdleConnection[] = [];
  /** Open, or being opened. */
  #connections = 0;

  /** @param onEmpty called when the last connection is gone */
  constructor(parts: PoolParts, onEmpty: () => void) {
    this.#parts = parts;
    this.#onEmpty = onEmpty;
    parts.deadlines.add(this);
  }

  /** When the oldest idle connection is to be closed. */
  get deadlineMs(): number {
    const [oldest] = this.#idle;
    return oldest === undefined ? Number.POSITIVE_INFINITY : oldest.sinceMs + UPSTREAM_IDLE_MS;
  }

  onDeadline(nowMs: number): void {
    this.#closeSince(nowMs - UPSTREAM_IDLE_MS);
  }

  closeIdle(): void {
    this.#closeSince(Number.POSITIVE_INFINITY);
  }

  open(
    target: UpstreamTarget,
    owner: UpstreamOwner,
    freshness: Freshness,
  ): UpstreamStream | UpstreamWait {
    const idle = freshness === "new" ? undefined : this.#idle.at(-1);
    const nowMs = this.#parts.reactor.nowMs;
    if (idle !== undefined && (freshness === "any" || nowMs - idle.sinceMs < YOUNG_MS)) {
      if (!target.group.circuit.tryTake("connections")) return this.#refused(owner);
      this.#idle.pop();
      idle.connection.lend(owner);
      return idle.connection;
    }
    return this.#dial(target, owner);
  }

  /** Closes those that are idle for so long; the oldest stand first, and closing takes them out. */
  #closeSince(sinceMs: number): void {
    for (let oldest = this.#idle[0]; oldest !== undefined; oldest = this.#idle[0]) {
      if (oldest.sinceMs > sinceMs) return;
      oldest.connection.close();
    }
  }

  #dial(target: UpstreamTarget, owner: UpstreamOwner): UpstreamWait {
    const { circuit } = target.group;
    if (!circuit.tryTake("connections")) return this.#refused(owner);
    if (!circuit.tryTake("pending")) {
      circuit.release("connections");
      return this.#refused(owner);
    }
    this.#connections++;
    const dialling = new UpstreamDialling(this.#parts, target, {
      onOpened: (stream) => {
        circuit.release("pending");
        const connection = this.#connected(stream, target);
        connection.lend(owner);
        owner.onReady(connection);
      },
      onDialFailed: (why) => {
        circuit.release("pending");
        circuit.release("connections");
        this.#gone();
        owner.onUpstreamFailed(why);
      },
    });
    const cancel = (): void => {
      circuit.release("pending");
      circuit.release("connections");
      dialling.cancel();
      this.#gone();
    };
    return { kind: "wait", cancel };
  }

  /** The circuit counts connections in use: idle ones of one client must not keep others out. */
  #connected(stream: ByteStream, { group, endpoint }: UpstreamTarget): UpstreamH1 {
    const { circuit } = group;
    const connection: UpstreamH1 = new UpstreamH1(stream, this.#parts, {
      onIdle: () => {
        if (this.#idle.length >= MOST_IDLE || !endpoint.planned) return connection.close();
        circuit.release("connections");
        this.#idle.push({ connection, sinceMs: this.#parts.reactor.nowMs });
      },
      onGone: () => {
        const at = this.#idle.findIndex((idle) => idle.connection === connection);
        if (at >= 0) this.#idle.splice(at, 1);
        else circuit.release("connections");
        this.#gone();
      },
    });
    stream.owner = connection;
    return connection;
  }

  #refused(owner: UpstreamOwner): UpstreamWait {
    return refusedWait(this.#parts.reactor, owner, () => this.#endIfEmpty());
  }

  #gone(): void {
    this.#connections--;
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (this.#connections > 0) return;
    this.#parts.deadlines.remove(this);
    this.#onEmpty();
  }
}
