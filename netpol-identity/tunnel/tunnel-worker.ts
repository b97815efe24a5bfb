// Everything of tunnels in one proxy worker: the doors, the dialler that others use, and the plan
// that tells them who is who.

import type { Address, AddressFamily } from "../../lib/ip/address.ts";
import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { Listener, OnConnection } from "../../lib/reactor/tcp-listener.ts";
import { type Dialer, listenTransparent } from "../../lib/reactor/transparent-socket.ts";
import type { Inspect } from "./inspection.ts";
import type { TunnelPlanDelta } from "../model/tunnel-plan.ts";
import { DirectRelays } from "./direct-relay.ts";
import { TunnelDialer } from "./tunnel-dialer.ts";
import { SWEEP_PERIOD_MS } from "./tunnel-limits.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { GATHERED_BYTES } from "./tunnel-output.ts";
import type { Authorize, TunnelParts } from "./tunnel-parts.ts";
import { TunnelSecurity } from "./tunnel-security.ts";
import { TunnelServer } from "./tunnel-server.ts";
import { TunnelTables } from "./tunnel-tables.ts";
import {
  type TunnelRecord,
  TunnelTelemetry,
  type TunnelTelemetryMessage,
} from "./tunnel-telemetry.ts";

export interface TunnelWorkerParts {
  readonly reactor: Reactor;
  /** Connects without a tunnel. */
  readonly inner: Dialer;
  /** An address of this node itself. */
  readonly isHost: (address: Address) => boolean;
  /** What policies say of flows between known pods. */
  readonly authorize: Authorize;
  /** Another number when that may differ. */
  readonly policyRevision: () => number;
  /** Stands between clients and pods where rules are about requests. */
  readonly inspect: Inspect;
  readonly onFinished: (record: TunnelRecord) => void;
  /** Milliseconds since 1970, for certificates. */
  readonly wallMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

export interface TunnelDoors {
  readonly families: readonly AddressFamily[];
  /** Gets what is dialled to port 15008 of enrolled pods of this node. */
  readonly tunnelPort: number;
  /** Gets what enrolled pods of this node dial at other pods' addresses. */
  readonly directPort: number;
}

export interface TunnelDrain {
  /** The kernel may send connections for so long. */
  readonly acceptMs: number;
  /** After that, connections may last for so long. */
  readonly limitMs: number;
  /** Called once. */
  readonly onIdle: () => void;
}

export class TunnelWorker {
  /** For whoever dials on behalf of pods. */
  readonly dialer: TunnelDialer;
  readonly #reactor: Reactor;
  readonly #tables = new TunnelTables();
  readonly #telemetry = new TunnelTelemetry();
  readonly #security: TunnelSecurity;
  readonly #server: TunnelServer;
  readonly #relays: DirectRelays;
  readonly #sweep: NodeJS.Timeout;
  readonly #policyRevision: () => number;
  #judgedRevision: number;
  #listeners: readonly Listener[] = [];
  #onIdle: (() => void) | undefined;

  constructor(given: TunnelWorkerParts) {
    this.#reactor = given.reactor;
    this.#policyRevision = given.policyRevision;
    this.#judgedRevision = given.policyRevision();
    this.#security = new TunnelSecurity(given.reactor, this.#tables, given.wallMs);
    const parts: TunnelParts = {
      ...given,
      tables: this.#tables,
      security: this.#security,
      telemetry: this.#telemetry,
      frames: new OutputBuffer(given.reactor, GATHERED_BYTES),
    };
    this.dialer = new TunnelDialer(parts);
    this.#server = new TunnelServer(parts);
    this.#relays = new DirectRelays(parts, this.dialer);
    this.#sweep = setInterval(() => this.#onSweep(), SWEEP_PERIOD_MS);
  }

  /** Takes up what differs; connections that it takes the ground from end. */
  apply(delta: TunnelPlanDelta): void {
    this.#tables.apply(delta);
    this.#security.changed();
    this.#server.changed();
    this.dialer.changed();
  }

  /** Opens the doors. @throws SystemError */
  listen({ families, tunnelPort, directPort }: TunnelDoors): void {
    const doors: readonly (readonly [number, OnConnection])[] = [
      [tunnelPort, (fd, ends) => this.#server.accept(fd, ends)],
      [directPort, (fd, ends) => this.#relays.accept(fd, ends)],
    ];
    this.#listeners = families.flatMap((family) =>
      doors.map(([port, onConnection]) =>
        listenTransparent(this.#reactor, {
          address: family === "ip" ? "127.0.0.1" : "::1",
          port,
          onConnection,
        }),
      ),
    );
  }

  /** What happened since the last call, and what is open now. */
  telemetry(): TunnelTelemetryMessage {
    return this.#telemetry.take();
  }

  /** Takes nothing new after a while, tells peers so, and lets come to its end what there is. */
  drain({ acceptMs, limitMs, onIdle }: TunnelDrain): void {
    this.#server.drain();
    setTimeout(() => {
      for (const listener of this.#listeners) listener.close();
      this.#listeners = [];
      this.#server.drain();
      this.dialer.drain();
      this.#onIdle = onIdle;
      this.#idleIfEmpty();
    }, acceptMs);
    setTimeout(() => {
      this.#server.close();
      this.#relays.close();
      this.dialer.close();
      this.#idleIfEmpty();
    }, acceptMs + limitMs).unref();
  }

  #onSweep(): void {
    this.#rejudge();
    this.#server.sweep();
    this.dialer.sweep();
    this.#relays.sweep();
    this.#idleIfEmpty();
  }

  /** Once a second at most, however often policies change. */
  #rejudge(): void {
    const revision = this.#policyRevision();
    if (revision === this.#judgedRevision) return;
    this.#judgedRevision = revision;
    this.#server.rejudge();
    this.dialer.rejudge();
    this.#relays.rejudge();
  }

  #idleIfEmpty(): void {
    if (this.#onIdle === undefined || !this.#server.isIdle || !this.#relays.isIdle) return;
    if (!this.dialer.isIdle) return;
    clearInterval(this.#sweep);
    this.#onIdle();
    this.#onIdle = undefined;
  }
}
