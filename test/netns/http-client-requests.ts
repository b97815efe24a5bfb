// One request of an HTTP client, over HTTP/1.1 or HTTP/2, to its end.

import { createHash } from "node:crypto";
import { type Agent, request } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Readable } from "node:stream";
import { patternBody } from "./http-backend-behaviour.ts";
import { pairsOf } from "./http-backend-log.ts";
import type { FieldPairs } from "./http-backend-protocol.ts";
import type { HttpAnswer, HttpCall, HttpFailure, HttpResult } from "./http-client-protocol.ts";

const TIMEOUT_MS = 5_000;
const MOST_TEXT_BYTES = 64 << 10;

export function urlOf({ address, port }: HttpCall): string {
  return `http://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** Never rejects. */
export function callHttp1(call: HttpCall, agent: Agent): Promise<HttpResult> {
  const startMs = performance.now();
  const { address, port, method = "GET", path = "/", headers = {}, trailers } = call;
  const { promise, resolve } = Promise.withResolvers<HttpResult>();
  const body = bodyOf(call);
  const early: number[] = [];
  const framing: Record<string, string> =
    body.length === 0 ? {} : { "content-length": `${body.length}` };
  const sent = request({
    agent,
    host: address,
    port,
    method,
    path,
    headers: {
      ...(trailers === undefined ? framing : { "transfer-encoding": "chunked" }),
      ...(call.expectContinue === true && { expect: "100-continue" }),
      ...headers,
    },
    signal: AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS),
  });
  sent.on("error", (error) => resolve(failureOf(error)));
  sent.on("information", ({ statusCode }) => early.push(statusCode));
  sent.on("response", (response) => {
    const { statusCode: status = 0, rawHeaders } = response;
    const fields = pairsOf(rawHeaders);
    void readAnswer(response, { status, fields, early, startMs }, () =>
      pairsOf(response.rawTrailers),
    ).then(resolve);
  });
  const finish = (): void => {
    if (trailers !== undefined) sent.addTrailers({ ...trailers });
    sent.end(body);
  };
  if (call.expectContinue === true) {
    sent.flushHeaders();
    sent.once("continue", finish);
  } else finish();
  return promise;
}

/** The head of a request over HTTP/2. */
export function openHttp2(session: ClientHttp2Session, call: HttpCall): ClientHttp2Stream {
  const { method = "GET", path = "/", headers = {} } = call;
  // Node's own choice lacks the brackets of an IPv6 address.
  const { host = new URL(urlOf(call)).host, ...rest } = headers;
  const target = { ":method": method, ":path": path, ":authority": host };
  const hasBody = call.body !== undefined || call.sizeBytes !== undefined;
  return session.request(
    { ...target, ...rest },
    {
      endStream: !hasBody && call.trailers === undefined,
      waitForTrailers: call.trailers !== undefined,
      signal: AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS),
    },
  );
}

/** Never rejects. */
export function callHttp2(call: HttpCall, session: ClientHttp2Session): Promise<HttpResult> {
  const startMs = performance.now();
  const { promise, resolve } = Promise.withResolvers<HttpResult>();
  const stream = openHttp2(session, call);
  const early: number[] = [];
  let trailers: FieldPairs = [];
  stream.on("error", (error) => resolve(failureOf(error)));
  stream.on("headers", (headers) => early.push(Number(headers[":status"])));
  stream.on("trailers", (_trailers, _flags, raw: readonly string[]) => {
    trailers = pairsOf(raw);
  });
  stream.on("wantTrailers", () => stream.sendTrailers({ ...call.trailers }));
  stream.on("response", (headers, _flags, raw: readonly string[]) => {
    const status = Number(headers[":status"]);
    const fields = pairsOf(raw).filter(([name]) => !name.startsWith(":"));
    void readAnswer(stream, { status, fields, early, startMs }, () => trailers).then(resolve);
  });
  if (!stream.writableEnded) stream.end(bodyOf(call));
  return promise;
}

/** A connection that nobody waits for: what goes wrong, its streams tell. */
export function openSession(call: HttpCall): ClientHttp2Session {
  const session = connect(urlOf(call));
  session.on("error", () => {});
  return session;
}

export function failureOf(error: NodeJS.ErrnoException): HttpFailure {
  if (error.name === "TimeoutError" || error.name === "AbortError") {
    return { kind: "failed", code: "timeout" };
  }
  return { kind: "failed", code: error.code ?? error.message };
}

function bodyOf({ body = "", sizeBytes }: HttpCall): Buffer {
  return sizeBytes === undefined ? Buffer.from(body, "latin1") : patternBody(sizeBytes);
}

async function readAnswer(
  stream: Readable,
  {
    startMs,
    ...head
  }: Pick<HttpAnswer, "status" | "fields" | "early"> & { readonly startMs: number },
  trailers: () => FieldPairs,
): Promise<HttpResult> {
  const hash = createHash("sha256");
  const chunks: Buffer[] = [];
  let bodyBytes = 0;
  try {
    for await (const chunk of stream) {
      hash.update(chunk);
      bodyBytes += chunk.length;
      if (bodyBytes <= MOST_TEXT_BYTES) chunks.push(chunk);
    }
  } catch (error) {
    return error instanceof Error ? failureOf(error) : { kind: "failed", code: String(error) };
  }
  return {
    kind: "answer",
    ...head,
    body: bodyBytes > MOST_TEXT_BYTES ? "" : Buffer.concat(chunks).toString("latin1"),
    bodyBytes,
    bodyHash: hash.digest("hex"),
    trailers: trailers(),
    elapsedMs: performance.now() - startMs,
  };
}
