// A door and endpoints on loopback with a relay between them, for tests; nothing needs a privilege.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Reactor } from "../../lib/reactor/reactor.ts";
import { listenOnLoopback, loopbackDialer } from "../../lib/reactor/sample-loopback.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import { RESULTS } from "../model/edge.ts";
import type { ConnectionLimits, PortKind, ProxyEndpoint } from "../model/proxy-plan.ts";
import type { RequestRecord } from "../model/request-record.ts";
import { AccessLog } from "./access-log.ts";
import { Deadlines } from "./deadlines.ts";
import { EdgeTable } from "./edge-table.ts";
import { ProxyTables, type ServedPort } from "./proxy-tables.ts";
import type { StreamParts } from "./relay-parts.ts";
import { sampleGroup, sampleRandom } from "./sample-group.ts";
import { TcpRelay } from "./tcp-relay.ts";
import { TlsRelay } from "./tls-relay.ts";

export interface RelayPlan {
  /** Ports on loopback, by group. */
  readonly groups: Readonly<Record<string, readonly number[]>>;
  /** @default TCP to group "web" */
  readonly kind?: PortKind;
  readonly limits?: Partial<ConnectionLimits>;
  readonly proxyProtocol?: boolean;
}

const CLIENT = { address: "10.1.0.9", port: 4_000, kind: "pod", source: "shop" } as const;
const SIDE = { group: "web", source: "node" } as const;
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

export class SampleRelay {
  /** What the relay takes for the time, beyond what has passed. */
  aheadMs = 0;
  /** Ports that policies forbid, with the rule. */
  readonly refused = new Map<number, string>();
  /** Of the access log. */
  readonly lines: string[] = [];
  /** What was told of denials. */
  readonly denied: RequestRecord[] = [];
  /** Relays that ended. */
  ended = 0;
  readonly parts: StreamParts;
  readonly #listener: Listener;
  readonly #reactor: Reactor;
  readonly #sockets: Socket[] = [];

  constructor({ groups, kind, limits, proxyProtocol = false }: RelayPlan) {
    const reactor = new Reactor(() => performance.now() + this.aheadMs);
    this.#reactor = reactor;
    const tables = new ProxyTables(() => 0);
    const plan = {
      service: "shop/web",
      port: 80,
      kind: kind ?? ({ kind: "tcp", backends: [] } as const),
      limits: {
        maxConnections: 100,
        maxConnectionsPerClient: 100,
        connectTimeoutMs: 5_000,
        idleTimeoutMs: 3_600_000,
        ...limits,
      },
    };
    tables.apply(
      {
        frontends: [],
        clients: [],
        ports: [["port", plan]],
        groups: Object.entries(groups).map(([key, ports]) => [
          key,
          { ...sampleGroup(ports.map(endpoint), { algorithm: "round-robin" }), proxyProtocol },
        ]),
      },
      0,
    );
    this.parts = {
      reactor,
      dialer: loopbackDialer(reactor, this.refused),
      tables,
      deadlines: new Deadlines(),
      random: sampleRandom(1),
      connections: new EdgeTable("tcp"),
      accessLog: new AccessLog(1, (bytes, done) => {
        this.lines.push(...Buffer.from(bytes).toString().trimEnd().split("\n"));
        done(null, bytes.length);
      }),
      onDenied: (record) => void this.denied.push(record),
      wallMs: () => 0,
    };
    this.#listener = listenOnLoopback(reactor, (fd, ends) => {
      this.#serve(TcpStream.accepted(reactor, fd, ends, NOBODY));
    });
  }

  get port(): ServedPort {
    return this.parts.tables.port("port") ?? assert.fail();
  }

  /** Connects as a client; a reset may be quicker than the connection. */
  async client(): Promise<Socket> {
    const { port } = this.#listener;
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    this.#sockets.push(socket);
    socket.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on("connect", () => resolve());
    socket.on("close", () => resolve());
    await promise;
    return socket;
  }

  /** Time passes, and the sweep comes. */
  pass(ms: number): void {
    this.aheadMs += ms;
    this.parts.deadlines.sweep(this.parts.reactor.nowMs);
  }

  /** Results since the last call, with how often. */
  results(): Readonly<Record<string, number>> {
    const counts = this.parts.connections.drain(0).flatMap((delta) => resultsOf(delta.counts));
    const sums: Record<string, number> = {};
    for (const [name, count] of counts) sums[name] = (sums[name] ?? 0) + count;
    return sums;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    this.#reactor.stop();
  }

  #serve(down: TcpStream): void {
    const { port } = this;
    const { tables } = this.parts;
    const request = { client: CLIENT, side: SIDE, port, onEnd: () => void this.ended++ };
    const { kind } = port.plan;
    if (kind.kind === "tls") {
      void new TlsRelay(this.parts, down, { ...request, routes: kind.routes });
      return;
    }
    const group = tables.group(SIDE.group) ?? assert.fail();
    void new TcpRelay(this.parts, down, { ...request, group, route: "" });
  }
}

/** A backend on loopback. */
export class SampleBackend {
  readonly port: number;
  readonly sockets: Socket[] = [];
  readonly #server: Server;

  constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(onSocket: (socket: Socket) => void = () => {}): Promise<SampleBackend> {
    const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert(address !== null && typeof address === "object");
    const backend = new SampleBackend(server, address.port);
    server.on("connection", (socket) => {
      backend.sockets.push(socket);
      socket.on("error", () => {});
      onSocket(socket);
    });
    return backend;
  }

  /** From here on its port refuses; connections stay. */
  refuse(): void {
    this.#server.close();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

/** All that comes until the other side ends, which leaves this side open. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** The errno name that a socket ends with; undefined when it ends in order. */
export async function endOf(socket: Socket): Promise<string | undefined> {
  if (!socket.closed) {
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on("close", () => resolve());
    await promise;
  }
  const error: NodeJS.ErrnoException | null = socket.errored;
  return error?.code;
}

function endpoint(port: number): ProxyEndpoint {
  return { address: "127.0.0.1", port, local: true };
}

function resultsOf(counts: readonly number[]): (readonly [string, number])[] {
  return counts.flatMap((column, i) => {
    const name = RESULTS[column];
    return i % 2 === 0 && name !== undefined ? [[name, counts[i + 1] ?? 0] as const] : [];
  });
}
