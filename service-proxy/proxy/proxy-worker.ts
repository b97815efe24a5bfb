// One worker: opens the doors, decides what each connection is, and drains. It holds no
// credentials and reads nothing but its plan.

import type { Reactor } from "../../lib/reactor/reactor.ts";
import { type StreamEnds, type StreamOwner, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import {
  type Listener,
  listenTransparent,
  TransparentDialer,
} from "../../lib/reactor/transparent-socket.ts";
import { tryClose } from "../../lib/sys/ffi.ts";
import type { TapFilter } from "../model/admin-protocol.ts";
import type { TelemetryMessage } from "../model/edge.ts";
import type { ProxyPlanDelta } from "../model/proxy-plan.ts";
import type { FromWorker, WorkerSettings } from "../model/worker-messages.ts";
import { AccessLog, fileWriter } from "./access-log.ts";
import { RequestTaps } from "./access-log-tap.ts";
import { type Client, clientOf, edgeService, sideFor } from "./client.ts";
import { Deadlines, SWEEP_PERIOD_MS } from "./deadlines.ts";
import { EdgeTable } from "./edge-table.ts";
import { ProxyTables, type ServedPort } from "./proxy-tables.ts";
import type { RelayParts } from "./relay-parts.ts";
import { TcpRelay } from "./tcp-relay.ts";
import { weightedGroup } from "./weighted-group.ts";

/** Something that lasts as long as one client's connection. */
interface Served {
  /** Ends as soon as it can without loss. */
  drain(): void;
  /** Ends now. */
  abort(result: "timeout"): void;
}

export interface ProxyWorkerParts {
  readonly reactor: Reactor;
  readonly settings: WorkerSettings;
  /** In [0, 1). */
  readonly random: () => number;
  /** Says something to the control process. */
  readonly tell: (message: FromWorker) => void;
}

/** Where access lines go; everything else is said on standard error. */
const STANDARD_OUTPUT = 1;

export class ProxyWorker {
  readonly tables = new ProxyTables();
  readonly #parts: RelayParts;
  readonly #settings: WorkerSettings;
  readonly #served = new Set<Served>();
  readonly #sweep: NodeJS.Timeout;
  #listeners: readonly Listener[] = [];
  #onIdle: (() => void) | undefined;

  constructor({ reactor, settings, random, tell }: ProxyWorkerParts) {
    this.#settings = settings;
    this.#parts = {
      reactor,
      dialer: new TransparentDialer(reactor, random),
      tables: this.tables,
      deadlines: new Deadlines(),
      random,
      connections: new EdgeTable("tcp"),
      requests: new EdgeTable("http"),
      accessLog: new AccessLog(settings.accessLogShare, fileWriter(STANDARD_OUTPUT)),
      taps: new RequestTaps((id, request) => tell({ kind: "tapped", id, request })),
    };
    this.#sweep = setInterval(() => {
      this.#parts.deadlines.sweep(reactor.nowMs);
    }, SWEEP_PERIOD_MS);
  }

  get connections(): number {
    return this.#served.size;
  }

  apply(delta: ProxyPlanDelta): void {
    this.tables.apply(delta, this.#parts.reactor.nowMs);
  }

  /** Opens the doors. @throws SystemError */
  listen(): void {
    const { families, portInside, portOutside } = this.#settings;
    this.#listeners = families.flatMap((family) =>
      [portInside, portOutside].map((port) =>
        listenTransparent(this.#parts.reactor, {
          address: family === "ip" ? "127.0.0.1" : "::1",
          port,
          onConnection: (fd, ends) => this.#accept(fd, ends, port === portInside),
        }),
      ),
    );
  }

  /** Shows requests that pass the filter, until `untap`. */
  tap(id: number, filter: TapFilter): void {
    this.#parts.taps.open(id, filter);
  }

  untap(id: number): void {
    this.#parts.taps.close(id);
  }

  /** What happened since the last call. */
  telemetry(): TelemetryMessage {
    const { reactor, connections, requests, accessLog } = this.#parts;
    const ejected = [...this.tables.groups].flatMap((group) =>
      group.endpoints
        .ejected(reactor.nowMs)
        .map((endpoint) => [edgeService(group.plan), endpoint.key] as const),
    );
    const edges = [...connections.drain(reactor.nowMs), ...requests.drain(reactor.nowMs)];
    return { edges, ejected, accessLogLost: accessLog.takeLost() };
  }

  /**
   * Takes no new connections and lets those there are come to their end.
   * @param onIdle called once, when the last one ended or the time is over
   */
  drain(limitMs: number, onIdle: () => void): void {
    this.#onIdle = onIdle;
    for (const listener of this.#listeners) listener.close();
    this.#listeners = [];
    for (const one of this.#served) one.drain();
    setTimeout(() => {
      for (const one of this.#served) one.abort("timeout");
      this.#idleIfEmpty();
    }, limitMs);
    this.#idleIfEmpty();
  }

  #accept(fd: number, ends: StreamEnds, isInside: boolean): void {
    const { tables, reactor } = this.#parts;
    const frontend = tables.frontend(ends.local);
    const port = frontend === undefined ? undefined : tables.port(frontend.port);
    // Nobody is served who did not come through a frontend: loops, and calls to the door itself.
    if (frontend === undefined || port === undefined) return void tryClose(fd);
    const client = clientOf(tables, ends.remote, isInside);
    const down = TcpStream.accepted(reactor, fd, ends, NOBODY);
    if (!port.connections.tryTake(client.address, port.plan.limits)) {
      this.#refused(port, client);
      return down.reset();
    }
    this.#serve(down, client, { frontend: sideFor(frontend, client), port });
  }

  #serve(
    down: TcpStream,
    client: Client,
    { frontend: side, port }: { frontend: ReturnType<typeof sideFor>; port: ServedPort },
  ): void {
    const { tables, random } = this.#parts;
    const { kind } = port.plan;
    const key =
      kind.kind === "tcp" && kind.backends.length > 0
        ? weightedGroup(kind.backends, random())
        : side.group;
    const group = key === undefined ? undefined : tables.group(key);
    if (group === undefined) {
      port.connections.release(client.address);
      this.#refused(port, client);
      return down.reset();
    }
    const relay = new TcpRelay(this.#parts, down, {
      client,
      side,
      port,
      group,
      route: "",
      onEnd: () => {
        port.connections.release(client.address);
        this.#served.delete(relay);
        this.#idleIfEmpty();
      },
    });
    this.#served.add(relay);
  }

  #refused({ plan }: ServedPort, client: Client): void {
    const { connections, reactor } = this.#parts;
    const slot = connections.slot(client.source, edgeService(plan), "", "", reactor.nowMs);
    connections.started(slot);
    connections.finished(slot, "limit", Number.NaN);
  }

  #idleIfEmpty(): void {
    if (this.#onIdle === undefined || this.#served.size > 0) return;
    clearInterval(this.#sweep);
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    setImmediate(onIdle);
  }
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
