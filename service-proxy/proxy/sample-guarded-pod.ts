// A port with rules about requests, on loopback, for tests: a listener whose connections are judged
// request by request, with a real server as the pod behind it.

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { TestContext } from "node:test";
import type { ByteStream } from "../../lib/reactor/byte-stream.ts";
import { listenOnLoopback, loopbackDialer } from "../../lib/reactor/sample-loopback.ts";
import type { Listener } from "../../lib/reactor/tcp-listener.ts";
import { type StreamEnds, TcpStream } from "../../lib/reactor/tcp-stream.ts";
import type { EdgeDelta } from "../model/edge.ts";
import type { RequestRecord } from "../model/request-record.ts";
import { type GuardedConnection, GuardedHttp } from "./guarded-http.ts";
import type { JudgedRequest, JudgeRequest } from "./guarded-http-requests.ts";
import { listenOn, SampleHttpProxy } from "./sample-http-proxy.ts";

const NOBODY = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
/** What a guard gets for a connection to the pod. */
type UpOf = (up: ByteStream) => ByteStream;
type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** The rest of a head that is the last one. */
export const CLOSE = "Host: db.shop\r\nConnection: close\r\n\r\n";
export const ALLOW = { kind: "allow", rule: "" } as const;
export const DENY = { kind: "deny", rule: "ServiceAccountPolicy shop/readers" } as const;

export const readsOnly: JudgeRequest = ({ method }) => (method === "GET" ? ALLOW : DENY);
export const notAdmin: JudgeRequest = ({ path }) => (/^\/admin(\/|$)/.test(path) ? DENY : ALLOW);
export const anything: JudgeRequest = () => ALLOW;

export const SAMPLE_PROOF = {
  carrier: "tunnel",
  source: "spiffe://cluster.local/ns/shop/sa/web",
  endpoint: "spiffe://cluster.local/ns/shop/sa/db",
} as const;

export const SAMPLE_WORKLOAD = "ServiceAccount shop/db";

export class SampleGuardedPod implements Disposable {
  readonly guards = new Set<GuardedHttp>();
  /** What the judge saw. */
  readonly judged: JudgedRequest[] = [];
  /** Connections to the pod, the first of each client's included. */
  dials = 0;
  readonly #proxy = new SampleHttpProxy({ groups: {} });
  readonly #podPort: number;
  readonly #judge: JudgeRequest;
  readonly #upOf: UpOf;
  readonly #listener: Listener;

  constructor(podPort: number, judge: JudgeRequest, upOf: UpOf = (up) => up) {
    this.#podPort = podPort;
    this.#judge = judge;
    this.#upOf = upOf;
    const { reactor } = this.#proxy.parts;
    this.#listener = listenOnLoopback(reactor, (fd, ends) => this.#accept(fd, ends));
  }

  get port(): number {
    return this.#listener.port;
  }

  get records(): readonly RequestRecord[] {
    return this.#proxy.records;
  }

  /** What was told of requests. */
  get requests(): SampleHttpProxy["requests"] {
    return this.#proxy.requests;
  }

  /** What was counted since the last call. */
  edges(): readonly EdgeDelta[] {
    const { requests, reactor } = this.#proxy.parts;
    return requests.drain(reactor.nowMs);
  }

  /** Makes deadlines pass that end within so long. */
  elapse(ms: number): void {
    this.#proxy.elapse(ms);
  }

  [Symbol.dispose](): void {
    for (const guard of this.guards) guard.abort();
    this.#listener.close();
    this.#proxy.stop();
  }

  #accept(fd: number, ends: StreamEnds): void {
    const { reactor } = this.#proxy.parts;
    const down = TcpStream.accepted(reactor, fd, ends, NOBODY);
    const target = { address: "127.0.0.1", port: this.#podPort };
    const dial: GuardedConnection["dial"] = (owner) => {
      this.dials++;
      return loopbackDialer(reactor).dial({ to: target }, owner);
    };
    const onOpen = (): void => {
      assert(typeof up !== "string");
      const guard: GuardedHttp = new GuardedHttp(
        this.#proxy.parts,
        {
          down,
          up: this.#upOf(up),
          dial,
          client: ends.remote,
          target,
          workload: SAMPLE_WORKLOAD,
          proof: SAMPLE_PROOF,
          judge: (request) => {
            this.judged.push(request);
            return this.#judge(request);
          },
          onOver: () => this.guards.delete(guard),
        },
        () => {},
      );
      this.guards.add(guard);
    };
    const up = dial({ ...NOBODY, onOpen, onClosed: () => down.reset() });
  }
}

/** A pod that speaks HTTP/1.1. */
export async function httpPod(t: TestContext, answer: Answer): Promise<Server & { port: number }> {
  const server = createServer(answer);
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(server, { port: await listenOn(server) });
}

/** Answers with the body. */
export const echo: Answer = (request, response) => {
  response.setHeader("x-path", request.url ?? "");
  request.pipe(response);
};

export function guard(
  t: TestContext,
  port: number,
  judge: JudgeRequest,
  upOf?: UpOf,
): SampleGuardedPod {
  const guarded = new SampleGuardedPod(port, judge, upOf);
  t.after(() => guarded[Symbol.dispose]());
  return guarded;
}

/** Of answers one after another. */
export function statusesOf(answers: string): number[] {
  return [...answers.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
}

/** Until a condition holds; what must hold may take long on a slow machine. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const limitMs = performance.now() + 20_000;
  while (!holds()) {
    assert(performance.now() < limitMs, `Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
