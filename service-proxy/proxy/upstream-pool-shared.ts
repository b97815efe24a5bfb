// The HTTP/2 connections to one endpoint from one source address: as many requests on each as the
// endpoint takes, and another connection only when all are full.

import type { Expiring } from "./deadlines.ts";
import type { EndpointState } from "./picker-endpoint.ts";
import type { ServedGroup } from "./proxy-tables.ts";
import { UpstreamDialling } from "./upstream-pool-dial.ts";
import type { PoolParts } from "./upstream-pool-endpoint.ts";
import { UpstreamH2 } from "./upstream-pool-h2.ts";
import {
  refusedWait,
  UPSTREAM_IDLE_MS,
  type UpstreamFailure,
  type UpstreamOwner,
  type UpstreamStream,
  type UpstreamTarget,
  type UpstreamWait,
} from "./upstream-pool-stream.ts";

/** Requests that may wait for one connection that is being opened. */
const MOST_WAITING = 100;

interface Dial {
  readonly waiting: Set<UpstreamOwner>;
}

export class SharedUpstreamPool implements Expiring {
  readonly #parts: PoolParts;
  readonly #endpoint: EndpointState;
  readonly #onEmpty: () => void;
  readonly #connections = new Set<UpstreamH2>();
  readonly #dials = new Set<Dial>();

  /** @param onEmpty called when the last connection is gone */
  constructor(parts: PoolParts, endpoint: EndpointState, onEmpty: () => void) {
    this.#parts = parts;
    this.#endpoint = endpoint;
    this.#onEmpty = onEmpty;
    parts.deadlines.add(this);
  }

  get deadlineMs(): number {
    let deadlineMs = Number.POSITIVE_INFINITY;
    for (const { isIdle, idleSinceMs } of this.#connections) {
      if (isIdle) deadlineMs = Math.min(deadlineMs, idleSinceMs + this.#idleMs);
    }
    return deadlineMs;
  }

  onDeadline(nowMs: number): void {
    for (const connection of this.#connections) {
      if (connection.isIdle && connection.idleSinceMs + this.#idleMs <= nowMs) connection.close();
    }
  }

  closeIdle(): void {
    for (const connection of this.#connections) if (connection.isIdle) connection.close();
  }

  open(target: UpstreamTarget, owner: UpstreamOwner): UpstreamStream | UpstreamWait {
    for (const connection of this.#connections) {
      if (connection.hasRoom) return connection.lend(owner);
    }
    const { circuit } = target.group;
    if (!circuit.tryTake("pending")) return this.#refused(owner);
    for (const dial of this.#dials) {
      if (dial.waiting.size < MOST_WAITING) return this.#wait(dial, owner, target.group);
    }
    if (!circuit.tryTake("connections")) {
      circuit.release("pending");
      return this.#refused(owner);
    }
    return this.#wait(this.#dial(target), owner, target.group);
  }

  /** What the plan no longer names is left after its last request. */
  get #idleMs(): number {
    return this.#endpoint.planned ? UPSTREAM_IDLE_MS : 0;
  }

  #dial(target: UpstreamTarget): Dial {
    const { group } = target;
    const dial: Dial = { waiting: new Set() };
    this.#dials.add(dial);
    const settle = (tell: (owner: UpstreamOwner) => void): void => {
      this.#dials.delete(dial);
      for (const owner of dial.waiting) {
        group.circuit.release("pending");
        tell(owner);
      }
    };
    new UpstreamDialling(this.#parts, target, {
      onOpened: (stream) => {
        const connection: UpstreamH2 = new UpstreamH2(stream, this.#parts, () => {
          this.#connections.delete(connection);
          this.#gone(group);
        });
        stream.owner = connection;
        this.#connections.add(connection);
        settle((owner) => owner.onReady(connection.lend(owner)));
      },
      onDialFailed: (why: UpstreamFailure) => {
        settle((owner) => owner.onUpstreamFailed(why));
        this.#gone(group);
      },
    });
    return dial;
  }

  #wait(dial: Dial, owner: UpstreamOwner, { circuit }: ServedGroup): UpstreamWait {
    dial.waiting.add(owner);
    const cancel = (): void => {
      if (dial.waiting.delete(owner)) circuit.release("pending");
    };
    return { kind: "wait", cancel };
  }

  #refused(owner: UpstreamOwner): UpstreamWait {
    return refusedWait(this.#parts.reactor, owner, () => this.#endIfEmpty());
  }

  #gone({ circuit }: ServedGroup): void {
    circuit.release("connections");
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (this.#connections.size + this.#dials.size > 0) return;
    this.#parts.deadlines.remove(this);
    this.#onEmpty();
  }
}
