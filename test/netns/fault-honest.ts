// An honest client: requests at a steady rate on kept connections, each answer checked.

import { createHash } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import type { BackendEcho } from "./fault-backend-protocol.ts";
import type { HonestReport, HonestRequest } from "./fault-client-protocol.ts";

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Sent {
  readonly path: string;
  readonly key: string;
  readonly body: Buffer;
}

type Send = (sent: Sent) => Promise<Answer>;

/** Of connections that requests share in HTTP/1.1. */
const CONNECTIONS = 32;
/** A client has a name of its own, so that keys of two never meet. */
const NAME = `${process.pid}`;

/** Resolves when every request was answered, or given up. */
export async function runHonest(options: HonestRequest): Promise<HonestReport> {
  const { ratePerSecond, durationMs } = options;
  const [send, close] = options.protocol === "http1" ? http1(options) : http2(options);
  const total = Math.ceil((durationMs * ratePerSecond) / 1000);
  const failures = new Map<string, number>();
  const spentMs: number[] = [];
  const pending: Promise<void>[] = [];
  const startMs = performance.now();
  while (pending.length < total) {
    const due = Math.ceil(((performance.now() - startMs) * ratePerSecond) / 1000);
    while (pending.length < Math.min(due, total)) {
      const sent = requestOf(options, pending.length);
      const sentMs = performance.now();
      const settle = (failure: string | undefined): void => {
        if (failure === undefined) spentMs.push(performance.now() - sentMs);
        else failures.set(failure, (failures.get(failure) ?? 0) + 1);
      };
      pending.push(
        send(sent).then(
          (answer) => settle(failureOf(answer, sent)),
          (error: Error & { code?: string }) => settle(error.code ?? error.message),
        ),
      );
    }
    await delay(1);
  }
  await Promise.all(pending);
  close();
  const sorted = spentMs.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  return {
    started: total,
    ok: sorted.length,
    failures: Object.fromEntries(failures),
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    mostMs: at(1),
  };
}

function requestOf({ path, bodyBytes }: HonestRequest, number: number): Sent {
  const body = Buffer.alloc(bodyBytes, `body ${number} of ${NAME}. `);
  return { path: path.replace("{n}", `${number}`), key: `${NAME}-${number}`, body };
}

/** Somebody else's answer is a failure, and so is a body that was not read as it was sent. */
function failureOf({ status, text }: Answer, { path, body }: Sent): string | undefined {
  if (status < 200 || status > 299) return `${status}`;
  if (path.startsWith("/echo")) return text === body.toString("latin1") ? undefined : "echo";
  if (!text.startsWith("{")) return undefined;
  const echo = JSON.parse(text) as BackendEcho;
  if (echo.url !== path) return `asked ${path}, answered ${echo.url}`;
  return echo.bodyHash === createHash("sha256").update(body).digest("hex") ? undefined : "hash";
}

function http1({ address, port, method, timeoutMs }: HonestRequest): [Send, () => void] {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const send: Send = ({ path, key, body }) =>
    new Promise((resolve, reject) => {
      const headers = { "x-key": key, "content-length": body.length };
      const options = { host: address, port, method, path, agent, headers, timeout: timeoutMs };
      const request = httpRequest(options, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
        response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.once("error", reject);
      });
      request.once("timeout", () => request.destroy(new Error("timeout")));
      request.once("error", reject);
      request.end(body);
    });
  return [send, () => agent.destroy()];
}

function http2({ address, port, method, timeoutMs }: HonestRequest): [Send, () => void] {
  const host = address.includes(":") ? `[${address}]` : address;
  let session: ClientHttp2Session | undefined;
  const sessionNow = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect(`http://${host}:${port}`);
      session.on("error", () => {});
    }
    return session;
  };
  const send: Send = ({ path, key, body }) =>
    new Promise((resolve, reject) => {
      const stream = sessionNow().request(
        { ":method": method, ":path": path, "x-key": key },
        { endStream: body.length === 0 },
      );
      let [status, text] = [0, ""];
      stream.setTimeout(timeoutMs, () => stream.destroy(new Error("timeout")));
      stream.once("response", (fields) => (status = Number(fields[":status"])));
      stream.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
      stream.once("error", reject);
      stream.once("close", () => resolve({ status, text }));
      if (body.length > 0) stream.end(body);
    });
  return [send, () => session?.close()];
}
