// A reverse proxy that does harm: it stands between an agent and the real API server, passes
// everything on, and breaks what a test tells it to. It ends TLS with the server's own
// certificate, at another port of the same address, so agents notice nothing but the faults.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Agent, createServer, request as httpsRequest, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { ControlPlane } from "./control-plane.ts";

/** A request as it came, whatever became of it. */
export interface SeenRequest {
  /** Since the proxy was made. */
  readonly atMs: number;
  /** Without the query, e.g. `/api/v1/services`. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly watch: boolean;
  /** The bearer token. */
  readonly token: string | undefined;
  /** Status of the answer; undefined while there is none. */
  status: number | undefined;
}

/** What to do with a request. */
export type Treatment =
  | { readonly kind: "pass" }
  | { readonly kind: "answer"; readonly status: number; readonly retryAfterSeconds?: number }
  /** Break the connection. */
  | { readonly kind: "break" }
  /** Never answer. */
  | { readonly kind: "hang" };

/** What is wrong at the moment; nothing unless set. */
export interface Faults {
  readonly treat?: (request: SeenRequest) => Treatment;
  /** Every head and every line of a watch comes this much later, in order. */
  readonly latencyMs?: number;
  /** Lists that ask for pages get pages of this many objects. */
  readonly pageLimit?: number;
  /**
   * Replaces one line of a watch by others, without line ends.
   * @param breakOff ends the stream in the middle of the last line that is returned
   */
  readonly rewrite?: (line: string, request: SeenRequest, breakOff: () => void) => string[];
}

const PASS: Treatment = { kind: "pass" };

/** Starts a proxy in front of an API server, at the same address. */
export async function startFaultProxy(controlPlane: ControlPlane): Promise<FaultProxy> {
  const proxy = new FaultProxy(controlPlane);
  await proxy.listen();
  return proxy;
}

export class FaultProxy implements AsyncDisposable {
  /** All requests so far, oldest first. */
  readonly requests: SeenRequest[] = [];
  faults: Faults = {};
  readonly #target: URL;
  readonly #server: Server;
  readonly #upstream: Agent;
  readonly #sockets = new Set<Socket>();
  readonly #startMs = performance.now();
  /** Streams of an earlier era are frozen: their connections stand, and nothing passes. */
  #era = 0;
  #port = 0;

  constructor(controlPlane: ControlPlane) {
    const { certificateFile, keyFile } = controlPlane.serverCertificate;
    this.#target = new URL(controlPlane.url);
    this.#upstream = new Agent({ keepAlive: true, ca: readFileSync(controlPlane.authorityFile) });
    const [cert, key] = [readFileSync(certificateFile), readFileSync(keyFile)];
    this.#server = createServer({ cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
      this.#handle(request, response).catch(() => request.socket.destroy());
    });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `https://${this.#target.hostname}:${this.#port}`;
  }

  /** Takes connections, again at the same port after `goDown`. */
  async listen(): Promise<void> {
    const host = this.#target.hostname.replace(/^\[|\]$/g, "");
    this.#server.listen({ host, port: this.#port });
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Refuses connections and resets those that stand, as a server that died. */
  async goDown(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.breakConnections();
    await closed;
  }

  breakConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /**
   * Nothing passes any more on streams that stand, in either direction, though their connections
   * stay: a middlebox that forgot them. New requests work.
   */
  freezeStreams(): void {
    this.#era += 1;
  }

  /** Requests since a time on the proxy's clock. */
  since(atMs: number): readonly SeenRequest[] {
    return this.requests.filter((request) => request.atMs >= atMs);
  }

  /** Milliseconds since the proxy was made. */
  get nowMs(): number {
    return performance.now() - this.#startMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) {
      const closed = once(this.#server, "close");
      this.#server.close();
      // Not reset: Node cannot reset what is ending just now, and then never exits.
      for (const socket of this.#sockets) socket.destroy();
      await closed;
    }
    this.#upstream.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = this.#note(request);
    const treatment = this.faults.treat?.(seen) ?? PASS;
    switch (treatment.kind) {
      case "break":
        request.socket.destroy();
        return;
      case "hang":
        return;
      case "answer": {
        const { status, retryAfterSeconds } = treatment;
        if (retryAfterSeconds !== undefined) response.setHeader("retry-after", retryAfterSeconds);
        seen.status = status;
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify({ kind: "Status", code: status, message: "out of order" }));
        return;
      }
      case "pass":
        return this.#forward(request, response, seen);
      default:
        return treatment satisfies never;
    }
  }

  #note(request: IncomingMessage): SeenRequest {
    const url = new URL(request.url ?? "/", this.#target);
    const watch = url.searchParams.get("watch");
    const seen: SeenRequest = {
      atMs: this.nowMs,
      path: url.pathname,
      query: url.searchParams,
      watch: watch === "1" || watch === "true",
      token: request.headers.authorization?.replace(/^Bearer /, ""),
      status: undefined,
    };
    this.requests.push(seen);
    return seen;
  }

  async #forward(
    request: IncomingMessage,
    response: ServerResponse,
    seen: SeenRequest,
  ): Promise<void> {
    const era = this.#era;
    await this.#lag();
    const { method, headers } = request;
    const sent = httpsRequest(this.#targetOf(request), {
      ...(method === undefined ? {} : { method }),
      headers: { ...headers, host: this.#target.host },
      agent: this.#upstream,
    });
    response.on("close", () => sent.destroy());
    const arrived = once(sent, "response") as Promise<[IncomingMessage]>;
    request.pipe(sent);
    const [answer] = await arrived;
    answer.on("error", () => this.#upstreamBroke(era, request.socket));
    seen.status = answer.statusCode;
    const { "transfer-encoding": _, ...passed } = answer.headers;
    response.writeHead(answer.statusCode ?? 502, passed);
    response.flushHeaders();
    if (seen.watch && answer.statusCode === 200) return this.#relayLines(answer, response, seen);
    for await (const bytes of answer) response.write(bytes);
    response.end();
  }

  #targetOf(request: IncomingMessage): URL {
    const url = new URL(request.url ?? "/", this.#target);
    const { pageLimit } = this.faults;
    if (pageLimit !== undefined && url.searchParams.has("limit")) {
      url.searchParams.set("limit", String(pageLimit));
    }
    return url;
  }

  /** A client behind a frozen stream hears nothing of it. */
  #upstreamBroke(era: number, socket: Socket): void {
    if (era === this.#era) socket.destroy();
  }

  async #relayLines(
    answer: IncomingMessage,
    response: ServerResponse,
    seen: SeenRequest,
  ): Promise<void> {
    const era = this.#era;
    let broken = false;
    /** Delayed lines stay in order behind each other. */
    let passed: Promise<void> = Promise.resolve();
    const pass = (line: string): void => {
      const lag = this.#lag();
      passed = passed.then(async () => {
        await lag;
        if (era !== this.#era || broken) return;
        const breakOff = (): void => {
          broken = true;
        };
        const lines = this.faults.rewrite?.(line, seen, breakOff) ?? [line];
        response.write(lines.join("\n") + (broken ? "" : "\n"));
        if (broken) response.end();
      });
    };
    for await (const line of createInterface({ input: answer })) pass(line);
    await passed;
    if (era === this.#era) response.end();
  }

  /** Resolves at once when there is no latency, in the same turn of the event loop. */
  async #lag(): Promise<void> {
    const { latencyMs = 0 } = this.faults;
    if (latencyMs > 0) await delay(latencyMs);
  }
}
