// The L7 data path on loopback, for tests: a listener whose connections are served as those of one
// Service port, with groups of real servers behind it.

import { once } from "node:events";
import type { Server } from "node:net";
import { connect } from "node:net";
import { Reactor } from "../../lib/reactor/reactor.ts";
import { listenOnLoopback, loopbackDialer } from "../../lib/reactor/sample-loopback.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import { TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { Result } from "../model/edge.ts";
import { RESULTS } from "../model/edge.ts";
import type { ProxyGroup } from "../model/proxy-plan.ts";
import type { RequestRecord } from "../model/request-record.ts";
import type { RouteRule } from "../model/route-table.ts";
import { AccessLog } from "./access-log.ts";
import { RequestTaps } from "./access-log-tap.ts";
import { Deadlines } from "./deadlines.ts";
import { EdgeTable } from "./edge-table.ts";
import { HttpConnection } from "./http-connection.ts";
import { MirrorLimit } from "./http-mirror.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { GATHERED_BYTES } from "./http-output.ts";
import type { HttpParts } from "./http-parts.ts";
import { defaultRule } from "./http-routing.ts";
import { ProxyTables } from "./proxy-tables.ts";
import { UpstreamPools } from "./upstream-pool.ts";

export interface SampleHttpProxyOptions {
  /** Ports of the servers behind each group on 127.0.0.1; `web` is the default one. */
  readonly groups: Readonly<Record<string, readonly number[]>>;
  readonly rules?: readonly RouteRule[];
  /** Of all groups. */
  readonly protocol?: ProxyGroup["protocol"];
  /** @default false */
  readonly via?: boolean;
}

const NOBODY = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
const SWEEP_MS = 5;

export class SampleHttpProxy {
  readonly parts: HttpParts;
  readonly connections = new Set<HttpConnection>();
  /** Ports that policies forbid, with the rule. */
  readonly refused = new Map<number, string>();
  readonly #reactor = new Reactor(() => performance.now());
  /** What was told of denials. */
  readonly denied: RequestRecord[] = [];
  /** What was told of requests. */
  readonly requests: Readonly<
    Record<"client" | "endpoint" | "method" | "host" | "path", string>
  >[] = [];
  readonly #records: RequestRecord[] = [];
  readonly #sweep: NodeJS.Timeout;
  readonly #listener: Listener;

  constructor(options: SampleHttpProxyOptions) {
    const reactor = this.#reactor;
    const dialer = loopbackDialer(reactor, this.refused);
    const deadlines = new Deadlines();
    const output = new OutputBuffer(reactor, GATHERED_BYTES);
    const tables = new ProxyTables(() => 0);
    const record = (_id: number, { record }: { readonly record: RequestRecord }): void => {
      this.#records.push(record);
    };
    const taps = new RequestTaps(record);
    taps.open(0, {});
    this.parts = {
      reactor,
      dialer,
      tables,
      deadlines,
      output,
      pools: new UpstreamPools({ reactor, dialer, deadlines, output }),
      mirrors: new MirrorLimit(),
      via: options.via ?? false,
      onRequest: (client, endpoint, request) => {
        this.requests.push({ client, endpoint, ...request });
      },
      wallMs: Date.now,
      random: Math.random,
      connections: new EdgeTable("tcp"),
      requests: new EdgeTable("http"),
      accessLog: new AccessLog(0, () => {}),
      taps,
      onDenied: (record) => void this.denied.push(record),
    };
    this.#apply(options);
    this.#sweep = setInterval(() => deadlines.sweep(reactor.nowMs), SWEEP_MS);
    this.#listener = listenOnLoopback(reactor, (fd, ends) => {
      this.#serve(TcpStream.accepted(reactor, fd, ends, NOBODY));
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Requests that ended, in the order they did. */
  get records(): readonly RequestRecord[] {
    return this.#records;
  }

  /** Makes deadlines pass that end within so long. */
  elapse(ms: number): void {
    this.parts.deadlines.sweep(this.#reactor.nowMs + ms);
  }

  /** A plan in which a group has other endpoints. */
  replan(group: string, ports: readonly number[]): void {
    const { parts } = this;
    const served = parts.tables.group(group);
    if (served === undefined) return;
    const endpoints = ports.map((port) => ({ address: "127.0.0.1", port, local: true }));
    const groups = [[group, { ...served.plan, endpoints }]] as const;
    parts.tables.apply({ ...EMPTY, groups }, this.#reactor.nowMs);
    parts.pools.prune();
  }

  /** What was counted since the last call. */
  counts(): { readonly [name in Result | "retries"]?: number } {
    const sums: { [name: string]: number } = {};
    for (const { counts } of this.parts.requests.drain(this.#reactor.nowMs)) {
      for (let i = 0; i < counts.length; i += 2) {
        const column = counts[i] ?? 0;
        const name = RESULTS[column] ?? (column === RESULTS.length ? "retries" : undefined);
        if (name !== undefined) sums[name] = (sums[name] ?? 0) + (counts[i + 1] ?? 0);
      }
    }
    return sums;
  }

  stop(): void {
    clearInterval(this.#sweep);
    this.#listener.close();
    for (const connection of this.connections) connection.abort();
    for (const { key } of this.parts.tables.groups) this.replan(key, []);
    this.#reactor.stop();
  }

  #apply({ groups, rules, protocol = "http1" }: SampleHttpProxyOptions): void {
    const plans = Object.entries(groups).map(([name, ports]) => {
      const endpoints = ports.map((port) => ({ address: "127.0.0.1", port, local: true }));
      const plan: ProxyGroup = {
        service: `shop/${name}`,
        port: 80,
        endpoints,
        balancing: { algorithm: "round-robin" },
        protocol,
        proxyProtocol: false,
      };
      return [name, plan] as const;
    });
    const limits = {
      maxConnections: 1_000,
      maxConnectionsPerClient: 1_000,
      connectTimeoutMs: 1_000,
      idleTimeoutMs: 60_000,
    };
    const kind =
      rules === undefined
        ? { kind: "http" as const }
        : { kind: "http" as const, routes: { rules } };
    this.parts.tables.apply(
      {
        ...EMPTY,
        groups: plans,
        ports: [["port", { service: "shop/web", port: 80, kind, limits }]],
      },
      this.#reactor.nowMs,
    );
  }

  #serve(stream: TcpStream): void {
    const port = this.parts.tables.port("port");
    if (port === undefined) return stream.close();
    const side = { group: "web", source: "client" } as const;
    const { address, port: clientPort } = stream.remote;
    const client = { address, port: clientPort, kind: "pod", source: "shop" } as const;
    const door = {
      client,
      side,
      port,
      dialled: stream.local,
      service: "shop/web:80",
      defaultRule: defaultRule(side),
    };
    const connection: HttpConnection = new HttpConnection(this.parts, door, stream, () => {
      this.connections.delete(connection);
    });
    this.connections.add(connection);
  }
}

const EMPTY = { frontends: [], ports: [], groups: [], clients: [] };

/** Listens on a port of loopback that is free. */
export async function listenOn(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Sends text and returns all that comes until the other side closes. */
export async function talk(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
  socket.on("error", () => {});
  socket.write(text, "latin1");
  await once(socket, "close");
  return Buffer.concat(chunks).toString("latin1");
}
