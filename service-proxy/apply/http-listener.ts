// One small HTTP server: bound, bounded, closed without waiting for idle clients. The health,
// metrics and Service health servers are built on it.

import { once } from "node:events";
import { createServer, type Server, STATUS_CODES } from "node:http";
import type { HostPort } from "../config/host-port.ts";

export interface HttpAnswer {
  readonly status: number;
  /** Content-Type is text/plain unless given. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @param path of the request without its query */
export type HttpHandler = (path: string) => HttpAnswer | Promise<HttpAnswer>;

/** The address was not to be had: in use, not ours, not allowed. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  /** System error code, e.g. `EADDRINUSE`. */
  readonly code: string;

  constructor(address: HostPort, cause: unknown) {
    const code = codeOf(cause);
    const hint = HINTS[code] ?? "the system refused it";
    super(`Cannot listen on ${address.host} port ${address.port}: ${code}, ${hint}`, { cause });
    this.code = code;
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process listens there",
  EADDRNOTAVAIL: "no interface has this address",
  EACCES: "the port needs the capability NET_BIND_SERVICE",
};

const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;

/** A bound server. Only `listenHttp` makes one. */
export class HttpListener {
  /** As bound: with the free port that the system chose, when asked for 0. */
  readonly address: HostPort;
  readonly #server: Server;

  constructor(server: Server, address: HostPort) {
    this.#server = server;
    this.address = address;
  }

  /** Resolves when the port is free again. Open connections are cut. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

export interface ListenOptions {
  /**
   * A wildcard takes its own family only, so that both can have their own. Otherwise `0.0.0.0`
   * takes IPv6 too where the kernel has it, as Go's listeners do.
   */
  readonly oneFamily?: true;
}

/**
 * Listens and answers every request with `handler`; a handler that throws answers 500.
 * The server itself does not keep the process alive.
 * @throws {ListenError}
 */
export async function listenHttp(
  address: HostPort,
  handler: HttpHandler,
  options: ListenOptions = {},
): Promise<HttpListener> {
  const oneFamily = options.oneFamily === true;
  const server = makeServer(handler);
  const { host, port } = address;
  const hosts = host === "0.0.0.0" && !oneFamily ? ["::", host] : [host];
  for (const [index, candidate] of hosts.entries()) {
    try {
      server.listen({ host: candidate, port, ipv6Only: oneFamily });
      await once(server, "listening");
      break;
    } catch (cause) {
      const noIpv6 = NO_IPV6.has(codeOf(cause)) && index < hosts.length - 1;
      if (!noIpv6) throw new ListenError(address, cause);
    }
  }
  // After this, errors concern single connections and must not end the process.
  server.on("error", () => undefined);
  server.unref();
  const bound = server.address();
  const boundPort = bound !== null && typeof bound === "object" ? bound.port : port;
  return new HttpListener(server, { host, port: boundPort });
}

const NO_IPV6: ReadonlySet<string> = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL"]);

function makeServer(handler: HttpHandler): Server {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: IDLE_TIMEOUT_MS,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on("request", (request, response) => {
    const [path = "/"] = (request.url ?? "/").split("?");
    void answer(handler, path).then(({ status, headers, body }) => {
      response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...headers });
      response.end(request.method === "HEAD" ? undefined : body);
    });
  });
  return server;
}

/** 404, for paths nobody serves. */
export function notFound(path: string): HttpAnswer {
  return { status: 404, body: `404 ${STATUS_CODES[404]}: ${path}\n` };
}

async function answer(handler: HttpHandler, path: string): Promise<HttpAnswer> {
  try {
    return await handler(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return { status: 500, body: `500 ${STATUS_CODES[500]}: ${why}\n` };
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "UNKNOWN";
}
