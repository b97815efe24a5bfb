// A connection to an endpoint while it is being opened: stands, fails, or takes too long.

import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import { dialOptions } from "./client.ts";
import type { Deadlines, Expiring } from "./deadlines.ts";
import { formatProxyHeader } from "./proxy-protocol.ts";
import { DENIED, OWN_FAILURES } from "./upstream-dial.ts";
import type { UpstreamFailure, UpstreamTarget } from "./upstream-pool-stream.ts";

export interface UpstreamDialParts {
  readonly reactor: Reactor;
  readonly dialer: Dialer;
  readonly deadlines: Deadlines;
}

/** Hears one of the two, once, never from within the constructor's call. */
export interface UpstreamDialOwner {
  /** The stream's events must be taken over at once. */
  onOpened(stream: ByteStream): void;
  onDialFailed(why: UpstreamFailure): void;
}

export class UpstreamDialling implements StreamOwner, Expiring {
  readonly deadlineMs: number;
  readonly #parts: UpstreamDialParts;
  readonly #target: UpstreamTarget;
  readonly #owner: UpstreamDialOwner;
  #stream: ByteStream | undefined;
  #over = false;

  constructor(parts: UpstreamDialParts, target: UpstreamTarget, owner: UpstreamDialOwner) {
    this.#parts = parts;
    this.#target = target;
    this.#owner = owner;
    this.deadlineMs = parts.reactor.nowMs + target.connectTimeoutMs;
    const { address, port } = target.endpoint.endpoint;
    const { from, client } = target;
    const stream = parts.dialer.dial(dialOptions(client, { to: { address, port }, from }), this);
    if (typeof stream === "string") {
      parts.reactor.later(() => this.onClosed(stream));
      return;
    }
    this.#stream = stream;
    parts.deadlines.add(this);
  }

  /** Nobody hears anything more. */
  cancel(): void {
    if (this.#over) return;
    this.#end();
    this.#stream?.close();
  }

  onOpen(): void {
    const stream = this.#stream;
    if (this.#over || stream === undefined) return;
    this.#end();
    const { group, client, dialled } = this.#target;
    if (group.plan.proxyProtocol) {
      const header = formatProxyHeader(client, dialled);
      stream.write(header, 0, header.length);
    }
    this.#owner.onOpened(stream);
  }

  onClosed(code: string | undefined): void {
    if (code === DENIED) this.#fail("denied");
    else this.#fail(OWN_FAILURES.test(code ?? "") ? "limit" : "connect-failed");
  }

  onDeadline(): void {
    this.#stream?.close();
    this.#fail("connect-timeout");
  }

  onData(): void {}
  onEnd(): void {}
  onDrained(): void {}

  #fail(why: UpstreamFailure): void {
    if (this.#over) return;
    this.#end();
    this.#owner.onDialFailed(why);
  }

  #end(): void {
    this.#over = true;
    this.#parts.deadlines.remove(this);
  }
}
