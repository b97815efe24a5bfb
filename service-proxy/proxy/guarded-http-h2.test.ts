// Streams of HTTP/2 at a port with rules about requests.

import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type TestContext, test } from "node:test";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import type { JudgeRequest } from "./guarded-http-requests.ts";
import { ALLOW, anything, DENY, guard, notAdmin, until } from "./sample-guarded-pod.ts";
import { listenOn } from "./sample-http-proxy.ts";

interface H2Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string,
): Promise<H2Answer> {
  const stream = session.request({ ":authority": "db.shop", ...headers });
  if (body !== undefined) stream.end(body);
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return { headers: answer, body: text };
}

/** A pod that speaks HTTP/2 with prior knowledge, guarded; and a client of it. */
async function http2(t: TestContext, judge: JudgeRequest, upOf?: (up: ByteStream) => ByteStream) {
  const seen: string[] = [];
  const server = createHttp2Server({ settings: { enableConnectProtocol: true } });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    seen.push(`${headers[":method"]} ${headers[":path"]}`);
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    if (headers[":path"] === "/waits") stream.write("begun");
    else stream.pipe(stream);
  });
  const guarded = guard(t, await listenOn(server), judge, upOf);
  const session = connectHttp2(`http://127.0.0.1:${guarded.port}`);
  session.on("error", () => {});
  t.after(() => {
    session.destroy();
    server.close();
  });
  return { seen, guarded, session };
}

test("streams of HTTP/2 are judged one by one, and go to the pod as HTTP/2", async (t) => {
  const { seen, guarded, session } = await http2(t, notAdmin);
  const answers = await Promise.all([
    ask(session, { ":method": "POST", ":path": "/echo" }, "hello"),
    ask(session, { ":path": "/admin" }),
    ask(session, { ":path": "/x/../admin" }),
    ask(session, { ":method": "POST", ":path": "/admin/x" }, "body"),
    ask(session, { ":path": "/y//z" }),
  ]);
  assert.deepEqual(
    answers.map(({ headers }) => headers[":status"]),
    [200, 403, 403, 403, 200],
  );
  assert.equal(answers[0]?.body, "hello");
  assert.deepEqual(seen.sort(), ["GET /y/z", "POST /echo"]);
  assert.equal(guarded.dials, 1);
});

test("a call of gRPC that is denied gets its status and no more: PERMISSION_DENIED", async (t) => {
  const { seen, guarded, session } = await http2(t, ({ path }) =>
    path.startsWith("/shop.Cart/") ? ALLOW : DENY,
  );
  const call = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
  const { headers, body } = await ask(session, { ...call, ":path": "/shop.Admin/Drop" }, "\0");
  assert.deepEqual(
    [headers[":status"], headers["grpc-status"], headers["content-type"], body],
    [200, "7", "application/grpc", ""],
  );
  assert.doesNotMatch(JSON.stringify(headers), /readers/);
  await ask(session, { ...call, ":path": "/shop.Cart/Add" }, "\0");
  assert.deepEqual(seen, ["POST /shop.Cart/Add"]);
  assert.deepEqual(
    guarded.records.map(({ grpcStatus, rule }) => [grpcStatus, rule]),
    [
      [7, DENY.rule],
      [undefined, undefined],
    ],
  );
});

test("a change of rules resets the stream that it is about, and no other", async (t) => {
  const { guarded, session } = await http2(t, anything);
  const stream = session.request({ ":authority": "db.shop", ":path": "/waits" });
  stream.on("error", () => {});
  await once(stream, "data");
  for (const one of guarded.guards) one.rejudge(({ path }) => (path === "/waits" ? DENY : ALLOW));
  await new Promise<void>((resolve) => void stream.once("close", () => resolve()));
  assert.notEqual(stream.rstCode, 0);
  const { body } = await ask(session, { ":method": "POST", ":path": "/echo" }, "still here");
  assert.equal(body, "still here");
});

test("a WebSocket within HTTP/2 is judged as the GET that it is", async (t) => {
  const { seen, guarded, session } = await http2(t, notAdmin);
  await once(session, "remoteSettings");
  const connect = { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "http" };
  const statusOf = async (path: string): Promise<unknown> => {
    const socket = session.request({ ...connect, ":authority": "db.shop", ":path": path });
    socket.on("error", () => {});
    const [{ ":status": status }] = (await once(socket, "response")) as [IncomingHttpHeaders];
    socket.close();
    return status;
  };
  assert.deepEqual([await statusOf("/chat"), await statusOf("//admin")], [200, 403]);
  assert.deepEqual(
    guarded.judged.map((seen) => [seen.method, seen.path, seen.header("upgrade")]),
    [
      ["GET", "/chat", "websocket"],
      ["GET", "/admin", "websocket"],
    ],
  );
  assert.deepEqual(seen, ["CONNECT /chat"]);
});

test("settings of a pod that come in the round in which it is taken are not lost", async (t) => {
  let held = 0;
  const { session } = await http2(t, anything, (up) => new Late(up, (bytes) => (held += bytes)));
  await until(() => held > 0, "the pod's settings");
  const { headers } = await ask(session, { ":path": "/y" });
  assert.equal(headers[":status"], 200);
});

/** What comes for its first owner, its second one hears at once. */
class Late implements ByteStream {
  readonly #inner: ByteStream;
  readonly #held: Buffer[] = [];
  #owner: StreamOwner;
  #isTold = false;

  constructor(inner: ByteStream, onHeld: (lengthBytes: number) => void) {
    this.#inner = inner;
    this.#owner = inner.owner;
    inner.owner = {
      ...inner.owner,
      onData: (bytes, start, end) => {
        this.#held.push(Buffer.from(bytes.subarray(start, end)));
        onHeld(end - start);
      },
    };
  }

  get owner(): StreamOwner {
    return this.#owner;
  }
  set owner(owner: StreamOwner) {
    this.#owner = owner;
    this.#isTold ||= this.#held.length > 0;
    if (!this.#isTold) return;
    this.#inner.owner = owner;
    for (const bytes of this.#held.splice(0)) owner.onData(bytes, 0, bytes.length);
  }
  get local() {
    return this.#inner.local;
  }
  get remote() {
    return this.#inner.remote;
  }
  get isOpen() {
    return this.#inner.isOpen;
  }
  get queuedBytes() {
    return this.#inner.queuedBytes;
  }
  write(bytes: Buffer, start: number, end: number): boolean {
    return this.#inner.write(bytes, start, end);
  }
  push(bytes: Buffer): void {
    this.#inner.push(bytes);
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  awaitReader(): void {
    this.#inner.awaitReader();
  }
  end(): void {
    this.#inner.end();
  }
  close(): void {
    this.#inner.close();
  }
  reset(): void {
    this.#inner.reset();
  }
}
