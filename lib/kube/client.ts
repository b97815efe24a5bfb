// HTTP to the API server, and nothing more: one request each, no cache, no retry except the one
// that a replaced token deserves. @kubernetes/client-node costs 84 MiB, too much for every node.

import http, {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import https from "node:https";
import type { Clock } from "../clock/clock.ts";
import { makeBearerToken } from "./bearer-token.ts";
import { KubeApiError, toKubeApiError } from "./kube-api-error.ts";
import type { ClientConfig } from "./kubeconfig.ts";
import { decodeStatus, parseJson } from "./watch-event.ts";

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string>>;
  /** What form the answer may have. @default "application/json" */
  readonly accept?: string;
  readonly signal: AbortSignal;
}

export interface WriteOptions extends RequestOptions {
  /**
   * Asked once the connection stands, right before the request leaves; when it says no, nothing
   * is sent and the call rejects with code `NOT_PERMITTED`.
   */
  readonly permit?: () => boolean;
}

/** Every method rejects with KubeApiError, also when `signal` aborts. */
export interface KubeClient {
  /** @param path e.g. `/api/v1/services` */
  getJson(path: string, options: RequestOptions): Promise<unknown>;
  /**
   * GETs a body that is read while it comes. Resolves at the response's head; the body has no
   * deadline of its own and ends with an error when `signal` aborts.
   */
  openStream(path: string, options: RequestOptions): Promise<AsyncIterable<Uint8Array>>;
  /** POSTs a new object to its collection, such as an Event. */
  create(path: string, object: unknown, options: WriteOptions): Promise<unknown>;
  /** PUTs a whole object; one whose resourceVersion is not the newest is refused with 409. */
  replace(path: string, object: unknown, options: WriteOptions): Promise<unknown>;
  /** Sends a JSON merge patch (RFC 7396); a resourceVersion in it is a precondition. */
  patch(path: string, patch: unknown, options: WriteOptions): Promise<unknown>;
  /** Closes idle connections. */
  close(): void;
}

/** Until the response's head: longer than an API server that takes 30 s (fault F2). */
export const HEAD_TIMEOUT_MS = 35_000;
/** For a whole request that is no stream. */
export const REQUEST_TIMEOUT_MS = 60_000;
/** Larger answers are an error; a page of 500 large Services is about 10 MiB. */
export const MAX_BODY_BYTES = 256 * 1024 * 1024;
const MAX_ERROR_BODY_BYTES = 64 * 1024;
const USER_AGENT = "innermesh";

/** One request's end, at the head of its response. */
export interface AnswerReport {
  readonly method: string;
  /** HTTP status; `<error>` when there was no answer, as client-go says. */
  readonly code: string;
  readonly durationMs: number;
}

/** @param onAnswer called for every request, the repeated ones too */
export function makeKubeClient(
  config: ClientConfig,
  clock: Clock,
  onAnswer: (report: AnswerReport) => void = () => {},
): KubeClient {
  const connection = connectTo(config);
  const token = makeBearerToken(config.token, clock);

  const attempt = async (request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> => {
    const bearer = await token.current();
    const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
    const { method } = request;
    const startMs = clock.monotonicMs();
    let code = "<error>";
    try {
      const response = await connection.send(request, headers, signal);
      code = String(response.statusCode ?? 0);
      return response;
    } finally {
      onAnswer({ method, code, durationMs: clock.monotonicMs() - startMs });
    }
  };
  /** Resolves at the head of a successful response. */
  const send = async (request: ApiRequest, signal: AbortSignal): Promise<IncomingMessage> => {
    let response = await attempt(request, signal);
    if (response.statusCode === 401 && (await token.refresh())) {
      response.resume();
      response = await attempt(request, signal);
    }
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw await failureOf(request, response);
  };
  const exchange = (request: ApiRequest, signal: AbortSignal): Promise<unknown> =>
    within(clock, REQUEST_TIMEOUT_MS, { action: actionOf(request), signal }, async (limited) => {
      const text = await readBody(await send(request, limited), MAX_BODY_BYTES);
      const value = parseJson(text);
      if (value !== undefined) return value;
      const failure = { code: "EBADMSG", reason: "Garbage" };
      throw new KubeApiError(`Cannot ${actionOf(request)}: the answer is no JSON`, failure);
    });

  return {
    getJson(path, { query, accept, signal }) {
      return exchange({ method: "GET", path, query, accept }, signal);
    },
    openStream(path, { query, signal }) {
      const request: ApiRequest = { method: "GET", path, query };
      const context = { action: actionOf(request), signal };
      return within(clock, HEAD_TIMEOUT_MS, context, (limited) => send(request, limited));
    },
    create(path, object, { query, signal, permit }) {
      const body = { text: JSON.stringify(object), type: "application/json" };
      return exchange({ method: "POST", path, query, body, permit }, signal);
    },
    replace(path, object, { query, signal, permit }) {
      const body = { text: JSON.stringify(object), type: "application/json" };
      return exchange({ method: "PUT", path, query, body, permit }, signal);
    },
    patch(path, patch, { query, signal, permit }) {
      const body = { text: JSON.stringify(patch), type: "application/merge-patch+json" };
      return exchange({ method: "PATCH", path, query, body, permit }, signal);
    },
    close: () => connection.close(),
  };
}

interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH";
  readonly path: string;
  readonly query: Readonly<Record<string, string>> | undefined;
  readonly accept?: string | undefined;
  readonly body?: { readonly text: string; readonly type: string };
  readonly permit?: (() => boolean) | undefined;
}

interface Connection {
  send(
    request: ApiRequest,
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
  ): Promise<IncomingMessage>;
  close(): void;
}

function connectTo(config: ClientConfig): Connection {
  const { server } = config;
  const secure = server.protocol === "https:";
  const agent = secure
    ? new https.Agent({
        keepAlive: true,
        ca: config.ca,
        cert: config.clientCertificate?.cert,
        key: config.clientCertificate?.key,
        ...(config.tlsServerName !== undefined && { servername: config.tlsServerName }),
        rejectUnauthorized: !config.insecureSkipTlsVerify,
      })
    : new http.Agent({ keepAlive: true });
  const target = {
    // URL keeps the brackets of an IPv6 host; sockets do not want them.
    host: server.hostname.replace(/^\[(.*)\]$/, "$1"),
    ...(server.port !== "" && { port: server.port }),
    agent,
  };
  const prefix = server.pathname.replace(/\/$/, "");
  return {
    send({ method, path, query, accept, body, permit }, headers, signal) {
      const search = query === undefined ? "" : `?${new URLSearchParams(query).toString()}`;
      const options = {
        ...target,
        method,
        path: `${prefix}${path}${search}`,
        headers: {
          accept: accept ?? "application/json",
          "user-agent": USER_AGENT,
          ...(body !== undefined && {
            "content-type": body.type,
            "content-length": Buffer.byteLength(body.text),
          }),
          ...headers,
        },
        signal,
      };
      return new Promise((resolve, reject) => {
        const outgoing = secure ? https.request(options) : http.request(options);
        outgoing.on("response", resolve);
        outgoing.on("error", reject);
        if (permit === undefined) return outgoing.end(body?.text);
        whenConnected(outgoing, secure ? "secureConnect" : "connect", () => {
          if (permit()) outgoing.end(body?.text);
          else outgoing.destroy(new NotPermitted());
        });
      });
    },
    close: () => agent.destroy(),
  };
}

/** Calls `act` in the turn in which what it sends leaves, not before a handshake that may last. */
function whenConnected(
  outgoing: ClientRequest,
  event: "connect" | "secureConnect",
  act: () => void,
): void {
  outgoing.once("socket", (socket) => {
    if (outgoing.reusedSocket) act();
    else socket.once(event, act);
  });
}

class NotPermitted extends Error {
  override readonly name = "NotPermitted";
  readonly code = "NOT_PERMITTED";

  constructor() {
    super("the right to write was lost before it was sent");
  }
}

/** Runs `work` with a deadline on the given clock; every failure leaves as a KubeApiError. */
async function within<T>(
  clock: Clock,
  limitMs: number,
  { action, signal }: { readonly action: string; readonly signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const finished = new AbortController();
  const expired = new AbortController();
  void clock.sleep(limitMs, finished.signal).then(() => {
    if (!finished.signal.aborted) expired.abort();
  });
  try {
    return await work(AbortSignal.any([signal, expired.signal]));
  } catch (cause) {
    if (!expired.signal.aborted) throw toKubeApiError(action, cause);
    const failure = { code: "ETIMEDOUT", reason: "Network", cause };
    throw new KubeApiError(`Cannot ${action}: no answer within ${limitMs} ms`, failure);
  } finally {
    finished.abort();
  }
}

async function failureOf(request: ApiRequest, response: IncomingMessage): Promise<KubeApiError> {
  const text = await readBody(response, MAX_ERROR_BODY_BYTES).catch(() => "");
  const status = decodeStatus(parseJson(text));
  const code = response.statusCode ?? 0;
  const seconds = Number(response.headers["retry-after"]);
  const retryAfterMs = seconds > 0 ? seconds * 1_000 : status.retryAfterMs;
  const said = status.message || response.statusMessage || "no reason given";
  const message = `Cannot ${actionOf(request)}: server answered ${code}: ${said}`;
  return new KubeApiError(message, { code, reason: status.reason, retryAfterMs });
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of response.iterator()) {
    const bytes: Buffer = chunk;
    lengthBytes += bytes.length;
    if (lengthBytes > maxBytes) {
      throw new Error(`the answer is larger than ${maxBytes} bytes`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, lengthBytes).toString("utf8");
}

function actionOf({ method, path }: ApiRequest): string {
  return `${method} ${path}`;
}
