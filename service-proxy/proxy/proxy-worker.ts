// One worker: opens the doors, decides what each connection is, and drains. It holds no
// credentials and reads nothing but its plan.

import type { Reactor } from "../../lib/reactor/reactor.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { type StreamEnds, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import { type Dialer, listenTransparent } from "../../lib/reactor/transparent-socket.ts";
import { resetOnClose, tryClose } from "../../lib/sys/ffi.ts";
import type { TapFilter } from "../model/admin-protocol.ts";
import type { TelemetryMessage } from "../model/edge.ts";
import type { FrontendSide, ProxyPlanDelta } from "../model/proxy-plan.ts";
import type { RequestRecord } from "../model/request-record.ts";
import type { FromWorker, WorkerSettings } from "../model/worker-messages.ts";
import { AccessLog, fileWriter } from "./access-log.ts";
import { RequestTaps } from "./access-log-tap.ts";
import { type Client, clientOf, countRefusal, edgeService, sideFor } from "./client.ts";
import { Deadlines, SWEEP_PERIOD_MS } from "./deadlines.ts";
import { EdgeTable } from "./edge-table.ts";
import { type GuardedConnection, GuardedHttp } from "./guarded-http.ts";
import { HttpConnection } from "./http-connection.ts";
import { MirrorLimit } from "./http-mirror.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { GATHERED_BYTES } from "./http-output.ts";
import type { HttpParts, OnRequest } from "./http-parts.ts";
import { defaultRule, type HttpDoor } from "./http-routing.ts";
import { ProxyTables, type ServedPort } from "./proxy-tables.ts";
import { chooseBackend } from "./route-choice.ts";
import { TcpRelay } from "./tcp-relay.ts";
import { TlsRelay } from "./tls-relay.ts";
import { UpstreamPools } from "./upstream-pool.ts";

/** Something that lasts as long as one client's connection. */
interface Served {
  /** Ends as soon as it can without loss. */
  drain(): void;
  /** Ends now. */
  abort(result: "timeout"): void;
}

export interface ProxyWorkerParts {
  readonly reactor: Reactor;
  /** Connects to endpoints. */
  readonly dialer: Dialer;
  readonly settings: WorkerSettings;
  /** In [0, 1). */
  readonly random: () => number;
  /** Says something to the control process. */
  readonly tell: (message: FromWorker) => void;
  /** Hears of each connection and request that policies denied. */
  readonly onDenied: (record: RequestRecord) => void;
  /** Undefined: nobody wants to know. */
  readonly onRequest: OnRequest | undefined;
}

export interface Drain {
  /** The kernel, or a client on its way, may send connections for so long. */
  readonly acceptMs: number;
  /** After that, connections may last for so long. */
  readonly limitMs: number;
  /** The doors are closed. */
  readonly onClosed: () => void;
  /** Called once, when the last connection ended or the time is over. */
  readonly onIdle: () => void;
}

/** Policies may change often; what goes on is judged anew so often at most. */
const REJUDGE_PERIOD_MS = 1_000;
/** Where access lines go; everything else is said on standard error. */
const STANDARD_OUTPUT = 1;

export class ProxyWorker {
  readonly tables: ProxyTables;
  readonly #parts: HttpParts;
  readonly #settings: WorkerSettings;
  readonly #served = new Set<Served>();
  readonly #sweep: NodeJS.Timeout;
  /** Of what policies said when all that goes on was last judged. */
  #judgedRevision: number;
  #rejudgeMs = 0;
  #listeners: readonly Listener[] = [];
  #onIdle: (() => void) | undefined;

  constructor(given: ProxyWorkerParts) {
    const { reactor, dialer, settings, random, tell, onDenied, onRequest } = given;
    this.#settings = settings;
    this.tables = new ProxyTables(random);
    const deadlines = new Deadlines();
    const output = new OutputBuffer(reactor, GATHERED_BYTES);
    this.#parts = {
      reactor,
      dialer,
      tables: this.tables,
      deadlines,
      output,
      pools: new UpstreamPools({ reactor, dialer, deadlines, output }),
      mirrors: new MirrorLimit(),
      via: settings.via,
      onRequest,
      wallMs: Date.now,
      random,
      connections: new EdgeTable("tcp"),
      requests: new EdgeTable("http"),
      accessLog: new AccessLog(settings.accessLogShare, fileWriter(STANDARD_OUTPUT)),
      taps: new RequestTaps((id, request) => tell({ kind: "tapped", id, request })),
      onDenied,
    };
    this.#judgedRevision = dialer.revision;
    this.#sweep = setInterval(() => this.#onSweep(reactor.nowMs), SWEEP_PERIOD_MS);
  }

  apply(delta: ProxyPlanDelta): void {
    const { reactor, pools } = this.#parts;
    this.tables.apply(delta, reactor.nowMs);
    pools.prune();
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

  /** Serves a connection to a pod's port, of which every request is judged. */
  guard(connection: GuardedConnection): GuardedHttp {
    const guarded = new GuardedHttp(this.#parts, connection, () => {
      this.#served.delete(guarded);
      this.#idleIfEmpty();
    });
    this.#served.add(guarded);
    if (this.#onIdle !== undefined) guarded.drain();
    return guarded;
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

  /** Takes no new connections after a while and lets those there are come to their end. */
  drain({ acceptMs, limitMs, onClosed, onIdle }: Drain): void {
    for (const one of this.#served) one.drain();
    setTimeout(() => {
      for (const listener of this.#listeners) listener.close();
      this.#listeners = [];
      onClosed();
      this.#onIdle = onIdle;
      for (const one of this.#served) one.drain();
      this.#idleIfEmpty();
    }, acceptMs);
    setTimeout(() => {
      for (const one of this.#served) one.abort("timeout");
      this.#idleIfEmpty();
    }, acceptMs + limitMs);
  }

  #accept(fd: number, ends: StreamEnds, isInside: boolean): void {
    const { tables, reactor } = this.#parts;
    const frontend = tables.frontend(ends.local);
    const port = frontend === undefined ? undefined : tables.port(frontend.port);
    // Nobody is served who did not come through a frontend: loops, and calls to the door itself.
    if (frontend === undefined || port === undefined) {
      resetOnClose(fd);
      return void tryClose(fd);
    }
    const client = clientOf(tables, ends.remote, isInside);
    const down = TcpStream.accepted(reactor, fd, ends, NOBODY);
    if (!port.connections.tryTake(client.address, port.plan.limits)) {
      countRefusal(this.#parts, client, { group: port.plan, route: "" }, "limit");
      return down.reset();
    }
    this.#serve(down, client, { side: sideFor(frontend, client), port });
  }

  #serve(
    down: TcpStream,
    client: Client,
    { side, port }: { readonly side: FrontendSide; readonly port: ServedPort },
  ): void {
    const onEnd = (): void => {
      port.connections.release(client.address);
      if (served !== undefined) this.#served.delete(served);
      this.#idleIfEmpty();
    };
    const served = speaksHttp(port, client)
      ? new HttpConnection(this.#parts, httpDoor(down, client, { side, port }), down, onEnd)
      : this.#relay(down, client, { side, port }, onEnd);
    if (served === undefined) {
      port.connections.release(client.address);
      countRefusal(this.#parts, client, { group: port.plan, route: "" }, "bad-route");
      return down.reset();
    }
    this.#served.add(served);
  }

  #relay(
    down: TcpStream,
    client: Client,
    { side, port }: { readonly side: FrontendSide; readonly port: ServedPort },
    onEnd: () => void,
  ): TcpRelay | TlsRelay | undefined {
    const { kind } = port.plan;
    if (kind.kind === "tls") {
      const { routes } = kind;
      return new TlsRelay(this.#parts, down, { client, side, port, routes, onEnd });
    }
    const key =
      kind.kind === "tcp" && kind.backends.length > 0
        ? chooseBackend(kind.backends, this.tables.nextShare(kind.backends))?.group
        : side.group;
    const group = key === undefined ? undefined : this.tables.group(key);
    if (group === undefined) return undefined;
    return new TcpRelay(this.#parts, down, { client, side, port, group, route: "", onEnd });
  }

  #onSweep(nowMs: number): void {
    const { deadlines, dialer } = this.#parts;
    deadlines.sweep(nowMs);
    if (dialer.revision === this.#judgedRevision || nowMs < this.#rejudgeMs) return;
    this.#judgedRevision = dialer.revision;
    this.#rejudgeMs = nowMs + REJUDGE_PERIOD_MS;
    deadlines.rejudge();
  }

  #idleIfEmpty(): void {
    if (this.#onIdle === undefined || this.#served.size > 0) return;
    clearInterval(this.#sweep);
    const onIdle = this.#onIdle;
    this.#onIdle = undefined;
    setImmediate(onIdle);
  }
}

/** Consumer routes of other namespaces change nothing for these clients, not even the lane. */
function speaksHttp({ plan, matcher }: ServedPort, { namespace }: Client): boolean {
  if (plan.kind.kind !== "http") return false;
  return matcher === undefined || matcher.appliesTo(namespace);
}

function httpDoor(
  down: TcpStream,
  client: Client,
  { side, port }: { readonly side: FrontendSide; readonly port: ServedPort },
): HttpDoor {
  return {
    client,
    side,
    port,
    dialled: down.local,
    service: edgeService(port.plan),
    defaultRule: defaultRule(side),
  };
}

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
