// Tunnels and the HTTP of the lanes joined as in a worker: rules about requests, on both ways to a
// pod of this node.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { JudgeRequest } from "../netpol-identity/tunnel/inspection.ts";
import {
  DB_POD,
  OTHER_WEB_POD,
  readAll,
  SampleTunnel,
  WEB_POD,
} from "../netpol-identity/tunnel/sample-tunnel.ts";
import { GuardedHttp } from "../service-proxy/proxy/guarded-http.ts";
import { SampleHttpProxy } from "../service-proxy/proxy/sample-http-proxy.ts";

const readsOnly: JudgeRequest = ({ method }) => ({
  kind: method === "GET" ? "allow" : "deny",
  rule: "readers",
});
const WORKLOAD = "ServiceAccount shop/db";
const HOST = "Host: db\r\n";
const ROUTES = [
  ["through a tunnel", DB_POD],
  ["within the node", OTHER_WEB_POD],
] as const;

/** A pod's port with rules, on the way that leads to `to`. */
function guarded(t: TestContext) {
  const tunnel = new SampleTunnel();
  const proxy = new SampleHttpProxy({ groups: {} });
  tunnel.verdict = { kind: "inspect", rule: "readers", judge: readsOnly };
  tunnel.inspect = (inspection) =>
    new GuardedHttp(proxy.parts, { ...inspection, workload: WORKLOAD }, () => {});
  t.after(() => {
    tunnel[Symbol.dispose]();
    proxy.stop();
  });
  return { tunnel, proxy };
}

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  t.after(() => void server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function says(socket: Socket, text: string): Promise<string> {
  const answer = readAll(socket);
  socket.write(text);
  const whole = (await answer).toString("latin1");
  socket.end();
  return whole;
}

for (const [name, to] of ROUTES) {
  test(`requests are judged one by one ${name}`, async (t) => {
    const { tunnel, proxy } = guarded(t);
    const seen: string[] = [];
    const pod = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.end(`from ${request.url}`);
    });
    const port = await listening(t, pod);
    const answer = await says(
      tunnel.dial(port, WEB_POD, to),
      `GET /a HTTP/1.1\r\n${HOST}\r\nPOST /b HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx` +
        `GET //c HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
    );
    const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    assert.deepEqual(statuses, ["200", "403", "200"]);
    assert.deepEqual(seen, ["GET /a", "GET /c"]);
    assert.match(answer, /from \/a.*from \/c$/s);
    const side = to === DB_POD ? tunnel.server : tunnel.client;
    assert.deepEqual(side.dialled.at(-1), { to: `${to}:${port}`, from: WEB_POD });
    const [, denied] = proxy.records;
    assert.deepEqual([denied?.rule, denied?.client], ["readers", WEB_POD]);
    assert.equal(denied?.carrier, to === DB_POD ? "tunnel" : "node");
  });

  test(`a big answer to a slow reader arrives whole ${name}`, async (t) => {
    const { tunnel } = guarded(t);
    const total = 24 << 20;
    const pod = createServer((_, response) => void response.end(Buffer.alloc(total)));
    const socket = tunnel.dial(await listening(t, pod), WEB_POD, to);
    socket.write(`GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    let received = 0;
    socket.on("data", (bytes: Buffer) => {
      if (received < 1 << 20) {
        socket.pause();
        setTimeout(() => socket.resume(), 5);
      }
      received += bytes.length;
    });
    await once(socket, "end");
    socket.end();
    assert(received > total, `${received}`);
  });

  test(`HTTP/2 reaches the pod ${name}, and a change of rules ends what it denies`, async (t) => {
    const { tunnel } = guarded(t);
    const pod = createHttp2Server((request, response) => {
      response.write(request.url);
      if (request.url !== "/waits") response.end();
    });
    const port = await listening(t, pod);
    const session = connectHttp2("http://db", {
      createConnection: () => tunnel.dial(port, WEB_POD, to),
    });
    t.after(() => session.destroy());
    session.on("error", () => {});
    const short = session.request({ ":path": "/x/../short" });
    const [bytes] = (await once(short, "data")) as [Buffer];
    assert.equal(bytes.toString(), "/short");
    const waits = session.request({ ":path": "/waits" });
    waits.on("error", () => {});
    await once(waits, "data");
    const closed = new Promise<void>((resolve) => void waits.once("close", () => resolve()));
    const noWaiting: JudgeRequest = ({ path }) => ({
      kind: path === "/waits" ? "deny" : "allow",
      rule: "no waiting",
    });
    tunnel.verdict = { kind: "inspect", rule: "no waiting", judge: noWaiting };
    tunnel.tunnels.rejudge();
    tunnel.dialer.rejudge();
    await closed;
    assert.equal(session.closed, false);
  });
}
