// The client's end of unary calls: one HTTP/2 session over TLS 1.3, opened when it is needed and
// again when the peer closed it, when it no longer answers, or when the roots have changed.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  sensitiveHeaders,
} from "node:http2";
import type { Clock } from "../clock/clock.ts";
import { decodeMessage, encodeMessage, FRAME_HEAD_BYTES } from "./frame.ts";
import { GrpcError } from "./grpc-error.ts";
import { formatTimeout, parseCode, parseStatusText } from "./status.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface UnaryClientOptions {
  /** Where the peer is now; undefined while nobody knows. */
  readonly endpoint: () => Endpoint | undefined;
  /** The DNS name that the peer's certificate must have. */
  readonly serverName: string;
  /** PEM of the roots that may have signed it, asked for before each call; none: no call. */
  readonly roots: () => readonly string[];
  readonly clock: Clock;
  readonly maxMessageBytes: number;
}

export interface UnaryCall {
  /** e.g. `/package.Service/Method` */
  readonly path: string;
  readonly message: Uint8Array;
  /** A secret: in no error. */
  readonly authorization: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface Session {
  readonly http2: ClientHttp2Session;
  /** What it was opened with, to notice when that changes. */
  readonly opened: string;
  /** Why it broke. */
  cause: unknown;
}

export class UnaryClient implements Disposable {
  readonly #options: UnaryClientOptions;
  #session: Session | undefined;

  constructor(options: UnaryClientOptions) {
    this.#options = options;
  }

  /**
   * Makes one call.
   * @returns the peer's message
   * @throws GrpcError: the peer's status, UNAVAILABLE without one, DEADLINE_EXCEEDED, CANCELLED
   */
  async call(call: UnaryCall): Promise<Uint8Array> {
    const { clock } = this.#options;
    const session = this.#open();
    const stream = this.#start(session, call);
    const finished = new AbortController();
    let why: GrpcError | undefined;
    const cancel = (error: GrpcError): void => {
      why ??= error;
      stream.close();
    };
    const abort = (): void => cancel(failure(call, "CANCELLED", "it was given up"));
    void clock.sleep(call.timeoutMs, finished.signal).then(() => {
      if (finished.signal.aborted) return;
      cancel(failure(call, "DEADLINE_EXCEEDED", `no answer within ${call.timeoutMs} ms`));
      // A peer that is silent for so long may be gone without a word.
      session.http2.destroy();
    });
    call.signal.addEventListener("abort", abort, { once: true });
    if (call.signal.aborted) abort();
    try {
      return await receive(stream, call, this.#options.maxMessageBytes);
    } catch (cause) {
      if (why !== undefined) throw why;
      if (cause instanceof GrpcError) throw cause;
      throw failure(call, "UNAVAILABLE", textOf(session.cause ?? cause), session.cause ?? cause);
    } finally {
      finished.abort();
      call.signal.removeEventListener("abort", abort);
    }
  }

  /** Ends the session and every call on it. */
  [Symbol.dispose](): void {
    this.#session?.http2.destroy();
    this.#session = undefined;
  }

  #start(session: Session, call: UnaryCall): ClientHttp2Stream {
    const { path, message, authorization, timeoutMs } = call;
    try {
      const stream = session.http2.request({
        ":method": "POST",
        ":path": path,
        ":authority": this.#options.serverName,
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-timeout": formatTimeout(timeoutMs),
        authorization,
        // Kept out of the compression table.
        [sensitiveHeaders]: ["authorization"],
      });
      return stream.end(encodeMessage(message));
    } catch (cause) {
      throw failure(call, "UNAVAILABLE", textOf(cause), cause);
    }
  }

  #open(): Session {
    const { endpoint, serverName, roots } = this.#options;
    const target = endpoint();
    const ca = [...roots()];
    if (target === undefined || ca.length === 0) {
      const missing =
        target === undefined ? "its address is not known yet" : "no root is known yet";
      throw new GrpcError(`Cannot call ${serverName}: ${missing}`, { code: "UNAVAILABLE" });
    }
    const host = target.host.includes(":") ? `[${target.host}]` : target.host;
    const url = `https://${host}:${target.port}`;
    const opened = `${url}\n${ca.join("\n")}`;
    const current = this.#session;
    const usable = current !== undefined && !current.http2.closed && !current.http2.destroyed;
    if (usable && current.opened === opened) return current;
    // Calls that are under way on the old session end there.
    current?.http2.close();
    const options = { ca, servername: serverName, minVersion: "TLSv1.3" } as const;
    const session: Session = { http2: connect(url, options), opened, cause: undefined };
    session.http2.on("error", (error) => (session.cause = error));
    session.http2.on("goaway", () => session.http2.close());
    // An idle session keeps no process alive.
    session.http2.on("connect", () => session.http2.unref());
    this.#session = session;
    return session;
  }
}

/** Rejects with GrpcError for a status, with what the stream fails with otherwise. */
async function receive(
  stream: ClientHttp2Stream,
  call: UnaryCall,
  maxMessageBytes: number,
): Promise<Uint8Array> {
  let status: unknown;
  let text: unknown;
  let httpStatus: number | undefined;
  const note = (headers: Readonly<Record<string, unknown>>): void => {
    status ??= headers["grpc-status"];
    text ??= headers["grpc-message"];
  };
  stream.on("response", (headers) => {
    httpStatus = headers[":status"];
    note(headers);
  });
  stream.on("trailers", note);
  const body = await readBody(stream, maxMessageBytes + FRAME_HEAD_BYTES);
  if (body === undefined) {
    stream.close();
    throw failure(call, "RESOURCE_EXHAUSTED", `the answer has more than ${maxMessageBytes} bytes`);
  }
  if (status === undefined) {
    const said = httpStatus === undefined ? "the connection broke" : `HTTP ${httpStatus}`;
    throw failure(call, "UNAVAILABLE", `no status: ${said}`);
  }
  const code = parseCode(status);
  if (code !== "OK") throw failure(call, code, parseStatusText(text));
  const decoded = decodeMessage(body);
  if (decoded.kind === "invalid") throw failure(call, "INTERNAL", decoded.problem);
  return decoded.message;
}

async function readBody(
  stream: ClientHttp2Stream,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let lengthBytes = 0;
  for await (const chunk of stream) {
    const bytes: Uint8Array = chunk;
    lengthBytes += bytes.length;
    if (lengthBytes > maxBytes) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, lengthBytes);
}

function failure(
  { path }: UnaryCall,
  code: GrpcError["code"],
  why: string,
  cause?: unknown,
): GrpcError {
  return new GrpcError(`Cannot call ${path}: ${code}: ${why}`, { code, cause });
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
