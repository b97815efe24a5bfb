// HBONE by node:http2 and node:tls: a server, and a client that can be as rude as a test wants. The
// client checks nothing and sends its bytes with CONNECT, before it knows whether it is welcome.

import { once } from "node:events";
import {
  connect as connectHttp2,
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { setTimeout as delay } from "node:timers/promises";
import type { Credential } from "./openssl-authority.ts";

const { HTTP2_METHOD_CONNECT, NGHTTP2_CANCEL } = constants;
const PATIENCE_MS = 30_000;

export interface NodeClientOptions {
  /** `address:port` */
  readonly proxy: string;
  readonly authority: string;
  /** @default none is shown */
  readonly credential?: Pick<Credential, "chain" | "key"> | undefined;
  readonly bytes: Buffer;
  /** On top of TLS 1.3 and ALPN `h2`. */
  readonly tls?: ConnectionOptions;
  /** On top of `:method` and `:authority`. */
  readonly headers?: OutgoingHttpHeaders;
}

/** What a client saw. */
export interface NodeOutcome {
  /** Of CONNECT; undefined when none came. */
  readonly status: number | undefined;
  /** Code of the first error, "" without. */
  readonly error: string;
  /** What came back, up to as much as was sent. */
  readonly received: Buffer;
}

/** Sends bytes and waits for as many, a refusal, or half a minute. Never rejects. */
export async function exchangeByNode(options: NodeClientOptions): Promise<NodeOutcome> {
  const [host, port] = hostAndPort(options.proxy);
  const { chain: cert, key } = options.credential ?? {};
  const socket = connectTls({
    host,
    port,
    cert,
    key,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    rejectUnauthorized: false,
    ...options.tls,
  });
  let error = "";
  const ended = Promise.withResolvers<void>();
  const fail = (cause: NodeJS.ErrnoException): void => {
    error ||= cause.code ?? cause.message;
    ended.resolve();
  };
  socket.on("error", fail).on("close", () => ended.resolve());
  const session = connectHttp2(`https://${options.proxy}`, { createConnection: () => socket });
  session.on("error", fail).on("close", () => ended.resolve());
  const stream = session.request({
    ":method": HTTP2_METHOD_CONNECT,
    ":authority": options.authority,
    ...options.headers,
  });
  let status: number | undefined;
  const chunks: Buffer[] = [];
  stream.on("error", fail).on("close", () => ended.resolve());
  stream.on("response", (headers) => {
    status = headers[":status"];
    if (status !== 200) ended.resolve();
  });
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (Buffer.concat(chunks).length >= options.bytes.length) ended.resolve();
  });
  stream.write(options.bytes);
  await Promise.race([ended.promise, delay(PATIENCE_MS, undefined, { ref: false })]);
  stream.close(NGHTTP2_CANCEL);
  session.destroy();
  socket.destroy();
  return { status, error, received: Buffer.concat(chunks) };
}

export interface NodeServerOptions {
  readonly credential: Credential;
  /** PEM: clients must show a certificate under one of them. */
  readonly roots: string;
  readonly host: string;
  /** @default any */
  readonly port?: number;
}

/** A server that connects to the authority of each CONNECT. */
export class NodeServer implements AsyncDisposable {
  /** Of each CONNECT. */
  readonly authorities: string[] = [];
  /** Of each session, as node:tls writes it: `URI:spiffe://...` */
  readonly peers: string[] = [];
  /** `address:port`, once `listen` resolved. */
  address = "";
  readonly #options: NodeServerOptions;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: NodeServerOptions) {
    this.#options = options;
    const { credential, roots } = options;
    const { chain: cert, key } = credential;
    const tls = { cert, key, ca: roots, requestCert: true, rejectUnauthorized: true } as const;
    this.#server = createSecureServer({ ...tls, minVersion: "TLSv1.3", allowHTTP1: false });
    this.#server.on("sessionError", () => {});
    this.#server.on("secureConnection", (socket) => {
      this.peers.push(socket.getPeerCertificate().subjectaltname ?? "");
    });
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      const { ":authority": authority = "" } = headers;
      this.authorities.push(authority);
      join(stream, authority);
    });
  }

  async listen(): Promise<this> {
    const { host, port: wanted = 0 } = this.#options;
    this.#server.listen(wanted, host);
    await once(this.#server, "listening");
    const found = this.#server.address();
    const port = found !== null && typeof found === "object" ? found.port : 0;
    this.address = `${host}:${port}`;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function join(stream: ServerHttp2Stream, authority: string): void {
  const [host, port] = hostAndPort(authority);
  const target = connectTcp({ host, port, allowHalfOpen: true });
  stream.on("error", () => target.destroy());
  target.on("error", () => stream.close());
  target.on("connect", () => {
    stream.respond({ ":status": 200 });
    stream.pipe(target).pipe(stream);
  });
}

function hostAndPort(text: string): readonly [host: string, port: number] {
  const { hostname, port } = new URL(`tcp://${text}`);
  return [hostname.replaceAll(/[[\]]/g, ""), Number(port)];
}
