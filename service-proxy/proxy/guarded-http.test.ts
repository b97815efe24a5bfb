import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { JudgeRequest } from "./guarded-http-requests.ts";
import {
  ALLOW,
  anything,
  CLOSE,
  DENY,
  echo,
  guard,
  httpPod,
  notAdmin,
  readsOnly,
  SAMPLE_PROOF,
  SAMPLE_WORKLOAD,
  statusesOf,
  until,
} from "./sample-guarded-pod.ts";
import { listenOn, talk } from "./sample-http-proxy.ts";
import { endOf } from "./sample-relay.ts";

const TO_80 = CLOSE.replace("db.shop", "db.shop:80");

/** A pod that remembers every byte it gets, and says nothing. */
async function silentPod(t: TestContext, greeting = "") {
  const pod = { port: 0, bytes: 0, sockets: [] as Socket[] };
  const server = createTcpServer((socket) => {
    pod.sockets.push(socket);
    socket.on("data", (chunk: Buffer) => void (pod.bytes += chunk.length));
    socket.on("error", () => {});
    if (greeting !== "") socket.write(greeting);
  });
  t.after(() => {
    for (const socket of pod.sockets) socket.destroy();
    server.close();
  });
  pod.port = await listenOn(server);
  return pod;
}

test("what is allowed passes with its body, both ways, as the client sent it", async (t) => {
  const pod = await httpPod(t, (request, response) => {
    response.setHeader("x-seen", JSON.stringify(request.rawHeaders));
    request.pipe(response);
  });
  const guarded = guard(t, pod.port, anything);
  const body = "Content-Length: 5\r\nX-Mine: 1\r\nX-Forwarded-For: 10.0.0.9\r\n";
  const answer = await talk(guarded.port, `POST /a?q=1 HTTP/1.1\r\n${body}${CLOSE}hello`);
  assert.match(answer, /\r\n\r\n(5\r\n)?hello/);
  assert.match(answer, /"X-Mine","1"|"x-mine","1"/i);
  assert.match(answer, /"x-forwarded-for","10.0.0.9"/i);
  assert.doesNotMatch(answer, /x-request-id|traceparent/i);
  const [record] = guarded.records;
  assert.equal(record?.sourceIdentity, SAMPLE_PROOF.source);
  assert.equal(record?.source, "shop");
  assert.deepEqual([record?.status, record?.flags, guarded.dials], [200, [], 1]);
});

test("requests count as calls of the pod's ServiceAccount; no log names a Service", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, readsOnly);
  const host = "Host: db.shop\r\n";
  await talk(guarded.port, `GET /a HTTP/1.1\r\n${host}\r\nDELETE /a HTTP/1.1\r\n${CLOSE}`);
  const service = `${SAMPLE_WORKLOAD}:${pod.port}`;
  assert.deepEqual(
    guarded.edges().map((edge) => [edge.source, edge.service, edge.endpoint]),
    [
      ["shop", service, `127.0.0.1:${pod.port}`],
      ["shop", service, ""],
    ],
  );
  assert.deepEqual(
    guarded.records.map((record) => record.service),
    ["", ""],
  );
});

test("each request is told as rules see it, denied or not, without its query", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, notAdmin);
  const host = "Host: DB.shop:80\r\n";
  for (const path of ["/a//b?key=1", "/x/../admin?key=2", "/%2f"]) {
    await talk(guarded.port, `GET ${path} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
  }
  const seen = { client: "127.0.0.1", endpoint: `127.0.0.1:${pod.port}`, host: "db.shop" };
  assert.deepEqual(guarded.requests, [
    { ...seen, method: "GET", path: "/a/b" },
    { ...seen, method: "GET", path: "/admin" },
  ]);
});

test("what is denied is answered 403, the pod gets no byte, the log has the rule", async (t) => {
  const pod = await silentPod(t);
  const guarded = guard(t, pod.port, readsOnly);
  const post = `POST /a HTTP/1.1\r\nContent-Length: 4\r\n${CLOSE}body`;
  const answer = await talk(guarded.port, post);
  assert.deepEqual(statusesOf(answer), [403]);
  assert.doesNotMatch(answer, /readers|Policy|shop/);
  const [record] = guarded.records;
  assert.deepEqual(
    [record?.rule, record?.flags, record?.attempts, record?.sourceIdentity],
    [DENY.rule, ["denied"], 0, SAMPLE_PROOF.source],
  );
  assert.equal(record?.endpoint, `127.0.0.1:${pod.port}`);
  assert.deepEqual([pod.bytes, guarded.dials], [0, 1]);
});

test("each request of one connection is judged by itself, pipelined ones too", async (t) => {
  const seen: string[] = [];
  const pod = await httpPod(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end("ok");
  });
  const guarded = guard(t, pod.port, readsOnly);
  const host = "Host: db.shop\r\n";
  const body = "GET /not-one HTTP/1.1\r\n\r\n";
  const answer = await talk(
    guarded.port,
    `GET /1 HTTP/1.1\r\n${host}\r\n` +
      `POST /2 HTTP/1.1\r\n${host}Content-Length: ${body.length}\r\n\r\n${body}` +
      `DELETE /3 HTTP/1.1\r\n${host}\r\n` +
      `GET /4 HTTP/1.1\r\n${CLOSE}`,
  );
  assert.deepEqual(statusesOf(answer), [200, 403, 403, 200]);
  assert.deepEqual(seen, ["GET /1", "GET /4"]);
  assert.equal(guarded.dials, 1);
});

test("what is no HTTP is refused and closed, and the pod gets no byte", async (t) => {
  const pod = await silentPod(t);
  const guarded = guard(t, pod.port, anything);
  const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
  for (const bytes of [
    hello,
    "\0\0\0\0",
    "SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
  ]) {
    const answer = await talk(guarded.port, bytes);
    assert.match(answer, /^HTTP\/1\.1 (400|505) /, JSON.stringify(bytes));
  }
  const smuggled = `POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n${CLOSE}`;
  assert.match(await talk(guarded.port, smuggled), /^HTTP\/1\.1 400 /);
  assert.match(await talk(guarded.port, `CONNECT db.shop:80 HTTP/1.1\r\n${TO_80}`), / 405 /);
  assert.equal(pod.bytes, 0);
});

test("what a pod says before it was asked reaches nobody", async (t) => {
  const pod = await silentPod(t, "220 mail.shop ESMTP\r\n\r\n");
  const guarded = guard(t, pod.port, anything);
  const socket = connect({ port: guarded.port, host: "127.0.0.1" });
  let heard = "";
  socket.on("data", (chunk: Buffer) => void (heard += chunk.toString("latin1")));
  await until(() => guarded.guards.size === 1, "the connection");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(heard, "");
  socket.write(`GET / HTTP/1.1\r\n${CLOSE}`);
  await once(socket, "end");
  assert.match(heard, /^HTTP\/1\.1 502 /);
  assert.doesNotMatch(heard, /ESMTP/);
});

test("a pod that closes what is kept is dialled anew", async (t) => {
  const pod = await httpPod(t, (_, response) => {
    response.setHeader("connection", "close");
    response.end("ok");
  });
  const guarded = guard(t, pod.port, readsOnly);
  const get = "GET / HTTP/1.1\r\nHost: db.shop\r\n\r\n";
  const answer = await talk(guarded.port, `${get}${get}GET / HTTP/1.1\r\n${CLOSE}`);
  assert.deepEqual([statusesOf(answer), guarded.dials], [[200, 200, 200], 3]);
});

test("nothing stays open to the pod once the client is gone", async (t) => {
  const pod = await httpPod(t, echo);
  let open = 0;
  pod.on("connection", (socket: Socket) => {
    open++;
    socket.on("close", () => open--);
  });
  const guarded = guard(t, pod.port, anything);
  const used = connect({ port: guarded.port, host: "127.0.0.1" });
  used.write("GET / HTTP/1.1\r\nHost: db.shop\r\n\r\n");
  await once(used, "data");
  const idle = connect({ port: guarded.port, host: "127.0.0.1" });
  await until(() => guarded.guards.size === 2 && open === 2, "both connections");
  used.destroy();
  idle.destroy();
  await until(() => guarded.guards.size === 0 && open === 0, "their ends");
});

test("a WebSocket is a request like others; then bytes go both ways", async (t) => {
  const pod = await httpPod(t, echo);
  pod.on("upgrade", (_, socket: Socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
    );
    socket.pipe(socket);
  });
  const guarded = guard(t, pod.port, notAdmin);
  const upgrade = "Host: db.shop\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
  const socket = connect({ port: guarded.port, host: "127.0.0.1" });
  let heard = "";
  socket.on("data", (chunk: Buffer) => void (heard += chunk.toString()));
  socket.write(`GET /chat HTTP/1.1\r\n${upgrade}`);
  await until(() => heard.includes(" 101 "), "the switch");
  assert.equal(guarded.judged[0]?.header("upgrade"), "chat");
  socket.write("ping");
  await until(() => heard.endsWith("ping"), "the echo");
  socket.destroy();
  const answer = talk(guarded.port, `GET /admin HTTP/1.1\r\n${upgrade}`);
  await until(() => guarded.records.some(({ status }) => status === 403), "a denial");
  for (const one of guarded.guards) one.drain();
  guarded.elapse(120_000);
  assert.deepEqual(statusesOf(await answer), [403]);
});

test("big bodies pass both ways, and a slow reader makes the other side wait", async (t) => {
  const total = 24 << 20;
  let sent = 0;
  const pod = await httpPod(t, (request, response) => {
    request.resume();
    request.on("end", () => {
      const chunk = Buffer.alloc(64 << 10);
      const fill = (): void => {
        while (sent < total) {
          sent += chunk.length;
          if (!response.write(chunk)) return void response.once("drain", fill);
        }
        response.end();
      };
      fill();
    });
  });
  const guarded = guard(t, pod.port, anything);
  const socket = connect({ port: guarded.port, host: "127.0.0.1" });
  const length = 8 << 20;
  socket.write(`POST / HTTP/1.1\r\nContent-Length: ${length}\r\n${CLOSE}`);
  socket.write(Buffer.alloc(length));
  socket.pause();
  let before = -1;
  while (sent !== before || sent === 0) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert(sent < total);
  let received = 0;
  socket.on("data", (chunk: Buffer) => void (received += chunk.length));
  socket.resume();
  await once(socket, "end");
  assert(received > total);
  assert.equal(guarded.records[0]?.receivedBytes, length);
  assert.equal(guarded.records[0]?.sentBytes, total);
});

test("when rules change, what they deny now is broken off; the rest goes on", async (t) => {
  const waiting: ServerResponse[] = [];
  const pod = await httpPod(t, (request, response) => {
    if (request.url === "/silent") return;
    response.write("begun");
    waiting.push(response);
  });
  const guarded = guard(t, pod.port, anything);
  const open = async (path: string): Promise<Socket> => {
    const socket = connect({ port: guarded.port, host: "127.0.0.1" });
    socket.on("error", () => {});
    socket.write(`GET ${path} HTTP/1.1\r\nHost: db.shop\r\n\r\n`);
    if (path !== "/silent") await once(socket, "data");
    return socket;
  };
  const [admin, other, silent] = [await open("/admin"), await open("/x"), await open("/silent")];
  await until(() => guarded.judged.length === 3, "all requests");
  const refused = once(silent, "data");
  const broken = endOf(admin);
  const strict: JudgeRequest = (request) => (request.path === "/x" ? ALLOW : DENY);
  for (const one of guarded.guards) one.rejudge(strict);
  assert.equal(await broken, "ECONNRESET");
  assert.match(String(await refused), /^HTTP\/1\.1 403 /);
  silent.destroy();
  waiting[1]?.end("!");
  const [last] = (await once(other, "data")) as [Buffer];
  assert.match(last.toString(), /!/);
  other.write(`GET /admin HTTP/1.1\r\n${CLOSE}`);
  const [denied] = (await once(other, "data")) as [Buffer];
  assert.match(denied.toString(), /^HTTP\/1\.1 403 /);
  const told = guarded.records.map(({ path, rule, flags }) => [path, rule, ...flags].join(" "));
  assert.deepEqual(told, [
    `/admin ${DENY.rule} denied`,
    `/silent ${DENY.rule} denied`,
    "/x ",
    `/admin ${DENY.rule} denied`,
  ]);
});

test("whoever waits for 100 is told at once that the request is denied", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, readsOnly);
  const expect = "Host: db.shop\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
  const answer = await talk(guarded.port, `PUT / HTTP/1.1\r\n${expect}`);
  assert.deepEqual(statusesOf(answer), [403]);
});

test("a worker that drains answers what comes once more, and closes", async (t) => {
  const pod = await httpPod(t, echo);
  const guarded = guard(t, pod.port, anything);
  const socket = connect({ port: guarded.port, host: "127.0.0.1" });
  await until(() => guarded.guards.size === 1, "the connection");
  for (const one of guarded.guards) one.drain();
  socket.write("GET /last HTTP/1.1\r\nHost: db.shop\r\n\r\n");
  const [answer] = (await once(socket, "data")) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 [^]*connection: close/i);
  await endOf(socket);
  await until(() => guarded.guards.size === 0, "the end");
});
