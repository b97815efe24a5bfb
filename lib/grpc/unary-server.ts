// The server's end of unary calls: HTTP/2 over TLS 1.3. A method sees one message and answers with
// one, or with a status; it never sees a stream.

import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../clock/clock.ts";
import { decodeMessage, encodeMessage, FRAME_HEAD_BYTES } from "./frame.ts";
import { formatCode, formatStatusText, type GrpcCode, parseTimeout } from "./status.ts";

export interface UnaryRequest {
  readonly message: Uint8Array;
  /** The value of `authorization`, "" when there is none. A secret: never to be told or logged. */
  readonly authorization: string;
  /** The caller's address. */
  readonly peer: string;
  /** Aborts when the deadline passes or the caller is gone. */
  readonly signal: AbortSignal;
}

export type UnaryAnswer =
  | { readonly kind: "ok"; readonly message: Uint8Array }
  | { readonly kind: "refused"; readonly code: GrpcCode; readonly why: string };

/** What it rejects with is told to `onFault`, and to the caller as INTERNAL without a word more. */
export type UnaryMethod = (request: UnaryRequest) => Promise<UnaryAnswer>;

/** PEM. */
export interface ServerCertificate {
  /** The leaf first. */
  readonly chain: string;
  readonly key: string;
}

export interface UnaryServerOptions {
  /** By path, e.g. `/package.Service/Method`. */
  readonly methods: ReadonlyMap<string, UnaryMethod>;
  readonly certificate: ServerCertificate;
  readonly clock: Clock;
  readonly maxMessageBytes: number;
  /** A call's time, also for one that asks for more. */
  readonly maxCallMs: number;
  readonly onFault: (error: unknown) => void;
}

const MAX_CONNECTIONS = 8_192;
/** A caller needs one; behind one address there may be several. */
export const MAX_CONNECTIONS_PER_PEER = 64;
const MAX_STREAMS = 32;
/** Of one address, in messages of the largest size that are not answered yet. */
export const MAX_HELD_MESSAGES = 32;
/** A token of an API server is 1 to 2 KiB. */
const MAX_HEADER_BYTES = 16_384;
const HANDSHAKE_LIMIT_MS = 10_000;
/** A session without a call for so long is closed: its caller comes back when it needs to. */
const IDLE_LIMIT_MS = 300_000;

/** Disposing of it closes every connection at once. */
export class UnaryServer implements AsyncDisposable {
  readonly #options: UnaryServerOptions;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections by address, those included that have not shaken hands. */
  readonly #connections = new Map<string, number>();
  /** Bytes of messages by address, until they are answered: nobody has shown a token by then. */
  readonly #held = new Map<string, number>();

  constructor(options: UnaryServerOptions) {
    this.#options = options;
    const { chain, key } = options.certificate;
    this.#server = createSecureServer({
      cert: chain,
      key,
      minVersion: "TLSv1.3",
      ALPNProtocols: ["h2"],
      handshakeTimeout: HANDSHAKE_LIMIT_MS,
      settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADER_BYTES },
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("connection", (socket) => this.#count(socket));
    this.#server.on("session", (session) => this.#admit(session));
    // Whoever cannot shake hands is closed by the server itself.
    this.#server.on("sessionError", () => {});
  }

  /**
   * Starts to listen, without a host on every address.
   * @returns the port, for those who asked for any
   * @throws what listening throws, such as EADDRINUSE
   */
  listen(address: { readonly host?: string; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(address, () => {
        this.#server.off("error", reject);
        const bound = this.#server.address();
        resolve(typeof bound === "object" && bound !== null ? bound.port : address.port);
      });
    });
  }

  /** New connections see this certificate; open ones stay. */
  setCertificate({ chain, key }: ServerCertificate): void {
    this.#server.setSecureContext({ cert: chain, key, minVersion: "TLSv1.3" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }

  #count(socket: Socket): void {
    const { remoteAddress: peer = "" } = socket;
    const open = count(this.#connections, peer, 1);
    socket.once("close", () => count(this.#connections, peer, -1));
    if (open > MAX_CONNECTIONS_PER_PEER) socket.destroy();
  }

  #admit(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.on("stream", (stream, headers) => void this.#serve(stream, headers));
    session.once("close", () => this.#sessions.delete(session));
    session.on("error", () => session.destroy());
    session.setTimeout(IDLE_LIMIT_MS, () => session.close());
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const { clock, maxCallMs } = this.#options;
    const ended = new AbortController();
    const expired = new AbortController();
    stream.on("error", () => {});
    stream.once("close", () => ended.abort());
    const limitMs = Math.min(maxCallMs, parseTimeout(headers["grpc-timeout"]) ?? maxCallMs);
    void clock.sleep(limitMs, ended.signal).then(() => {
      expired.abort();
      if (ended.signal.aborted) return;
      respond(stream, late(limitMs));
      // Whoever was answered and still sends is cut off.
      setImmediate(() => stream.close());
    });
    const body = new Body(this.#held, stream.session?.socket.remoteAddress ?? "");
    try {
      const answer = await this.#answer({ stream, headers, body }, expired.signal);
      respond(stream, answer);
    } catch (error) {
      if (expired.signal.aborted || ended.signal.aborted) return;
      this.#options.onFault(error);
      respond(stream, refused("INTERNAL", "The call failed: the server's log says why."));
    } finally {
      body.forget();
    }
  }

  async #answer({ stream, headers, body }: Call, signal: AbortSignal): Promise<UnaryAnswer> {
    const path = headers[":path"] ?? "";
    const method = this.#options.methods.get(path);
    if (headers[":method"] !== "POST" || !isGrpc(headers["content-type"])) {
      return refused("INTERNAL", "This port takes gRPC calls only.");
    }
    if (method === undefined) return refused("UNIMPLEMENTED", "There is no such method.");
    const { maxMessageBytes } = this.#options;
    const bytes = await body.read(stream, maxMessageBytes);
    if (typeof bytes === "string") return refused("RESOURCE_EXHAUSTED", bytes);
    const decoded = decodeMessage(bytes);
    if (decoded.kind === "invalid") return refused("INVALID_ARGUMENT", decoded.problem);
    const { message } = decoded;
    const { authorization = "" } = headers;
    return method({ message, authorization, peer: body.peer, signal });
  }
}

interface Call {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly body: Body;
}

/** What a caller sends, counted while it is held. */
class Body {
  readonly peer: string;
  readonly #held: Map<string, number>;
  #lengthBytes = 0;

  constructor(held: Map<string, number>, peer: string) {
    this.#held = held;
    this.peer = peer;
  }

  /** @returns text when it is too much */
  async read(stream: ServerHttp2Stream, maxMessageBytes: number): Promise<Uint8Array | string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      const bytes: Uint8Array = chunk;
      this.#lengthBytes += bytes.length;
      const heldBytes = count(this.#held, this.peer, bytes.length);
      if (this.#lengthBytes > maxMessageBytes + FRAME_HEAD_BYTES) {
        return `A message has at most ${maxMessageBytes} bytes.`;
      }
      if (heldBytes > MAX_HELD_MESSAGES * maxMessageBytes) {
        return "Too much from this address waits for answers: try again later.";
      }
      chunks.push(bytes);
    }
    return Buffer.concat(chunks, this.#lengthBytes);
  }

  forget(): void {
    count(this.#held, this.peer, -this.#lengthBytes);
  }
}

/** @returns the sum with the change */
function count(counts: Map<string, number>, key: string, change: number): number {
  const sum = (counts.get(key) ?? 0) + change;
  if (sum === 0) counts.delete(key);
  else counts.set(key, sum);
  return sum;
}

function respond(stream: ServerHttp2Stream, answer: UnaryAnswer): void {
  if (stream.destroyed || stream.headersSent) return;
  const head = { ":status": 200, "content-type": "application/grpc" };
  if (answer.kind === "refused") {
    const text = formatStatusText(answer.why);
    const status = { "grpc-status": formatCode(answer.code), "grpc-message": text };
    stream.respond({ ...head, ...status }, { endStream: true });
    // What the caller still sends is not wanted.
    stream.resume();
    return;
  }
  stream.respond(head, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": formatCode("OK") }));
  stream.end(encodeMessage(answer.message));
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc($|[+;])/.test(contentType);
}

function refused(code: GrpcCode, why: string): UnaryAnswer {
  return { kind: "refused", code, why };
}

function late(limitMs: number): UnaryAnswer {
  return refused("DEADLINE_EXCEEDED", `The call was not done within ${limitMs} ms.`);
}
