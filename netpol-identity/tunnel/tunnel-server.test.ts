import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { test } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { makeSampleAuthority } from "../../lib/tls/sample-credentials.ts";
import {
  DB,
  DB_POD,
  NOTHING_NEW,
  OTHER_WEB_POD,
  readAll,
  SampleTunnel,
  gone,
  until,
  WEB,
  WEB_POD,
} from "./sample-tunnel.ts";
import { FAILED_HANDSHAKES } from "./tunnel-limits.ts";

/** A foreign client: Node's own TLS. */
function foreignTls(tunnel: SampleTunnel, options: ConnectionOptions = {}): TLSSocket {
  const { chain, key } = tunnel.credential(WEB);
  return connectTls({
    socket: tunnel.dialTunnelDoor(),
    cert: chain,
    key,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    ...options,
  });
}

/** And its HTTP/2. */
function foreignClient(tunnel: SampleTunnel): ClientHttp2Session {
  const session = connectHttp2("https://ignored", {
    createConnection: () => foreignTls(tunnel),
  });
  session.on("error", () => {});
  return session;
}

async function statusOf(session: ClientHttp2Session, headers: Record<string, string>) {
  const stream = session.request(headers, { endStream: false });
  stream.on("error", () => {});
  const [answer] = await once(stream, "response");
  stream.destroy();
  return answer[":status"];
}

test("a foreign client of HTTP/2 gets through to the pod", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const session = foreignClient(tunnel);
  const stream = session.request({ ":method": "CONNECT", ":authority": `${DB_POD}:${port}` });
  const [answer] = await once(stream, "response");
  assert.equal(answer[":status"], 200);
  stream.end("hello");
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  assert.equal(text, "hello");
  session.destroy();
});

test("requests for anything but a port of the dialled pod are refused, and nothing is dialled", async () => {
  using tunnel = new SampleTunnel();
  const session = foreignClient(tunnel);
  const connect = (authority: string) =>
    statusOf(session, { ":method": "CONNECT", ":authority": authority });
  assert.equal(await connect("10.2.0.2:80"), 400);
  assert.equal(await connect("127.0.0.1:80"), 400);
  assert.equal(await connect("169.254.169.254:80"), 400);
  assert.equal(await connect("db.shop.svc:80"), 400);
  assert.equal(await connect(`${DB_POD}:15008`), 403);
  assert.equal(await connect(`${DB_POD}:15001`), 403);
  assert.equal(await statusOf(session, { ":method": "GET", ":path": "/" }), 400);
  assert.deepEqual(tunnel.server.dialled, []);
  assert.deepEqual(
    tunnel.server.records.map(({ result, rule }) => `${result} ${rule}`),
    [
      "denied other-pod",
      "denied bad-authority",
      "denied bad-authority",
      "denied bad-authority",
      "denied reserved-port",
      "denied reserved-port",
      "denied not-connect",
    ],
  );
  session.destroy();
});

test("what a rule denies is refused with 403, and the record names the rule", async () => {
  using tunnel = new SampleTunnel();
  tunnel.verdict = { kind: "deny", rule: "shop/no-web" };
  const socket = tunnel.dial(80);
  await gone(socket);
  assert.equal(tunnel.server.records[0]?.rule, "shop/no-web");
  assert.deepEqual(tunnel.server.dialled, []);
});

test("a port where nobody listens is 503", async () => {
  using tunnel = new SampleTunnel();
  const session = foreignClient(tunnel);
  const authority = `${DB_POD}:1`;
  assert.equal(await statusOf(session, { ":method": "CONNECT", ":authority": authority }), 503);
  session.destroy();
});

test("clients that prove nothing get no byte, and the reason is counted", async () => {
  using tunnel = new SampleTunnel();
  const stranger = makeSampleAuthority();
  const foreign = stranger.issue(WEB);
  const other = makeSampleAuthority("other.example");
  const otherDomain = other.issue("spiffe://cluster.local/ns/shop/sa/web");
  tunnel.tell("server", { ...NOTHING_NEW, bundles: [["other.example", [other.root]]] });
  const past = Date.now() - 60_000;
  const refused: ConnectionOptions[] = [
    { cert: undefined, key: undefined },
    { cert: foreign.chain, key: foreign.key },
    { cert: otherDomain.chain, key: otherDomain.key },
    { ...expired(tunnel, past) },
    { ALPNProtocols: ["http/1.1"] },
    { maxVersion: "TLSv1.2" },
  ];
  for (const options of refused) {
    const socket = foreignTls(tunnel, options);
    let received = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => void (received += bytes.length));
    await gone(socket);
    assert.equal(received, 0);
  }
  const { handshakes } = tunnel.server.parts.telemetry.take();
  assert.deepEqual(handshakes, [
    ["server", "tls", 3],
    ["server", "unknown-issuer", 2],
    ["server", "expired", 1],
  ]);
});

function expired(tunnel: SampleTunnel, notAfterMs: number): ConnectionOptions {
  const { chain, key } = tunnel.credential(WEB, notAfterMs);
  return { cert: chain, key };
}

test("a pod that is not enrolled here, or has no certificate, is reset", async () => {
  using tunnel = new SampleTunnel();
  await gone(tunnel.dialTunnelDoor("10.2.0.99"));
  tunnel.tell("server", { ...NOTHING_NEW, credentials: [[DB, null]] });
  await gone(tunnel.dialTunnelDoor());
  assert.deepEqual(tunnel.server.parts.telemetry.take().handshakes, [
    ["server", "unknown-pod", 1],
    ["server", "no-credential", 1],
  ]);
});

test("streams that are cancelled by the thousand end no session", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.resume());
  const session = foreignClient(tunnel);
  for (let round = 0; round < 40; round++) {
    const streams = Array.from({ length: 50 }, () => {
      const headers = { ":method": "CONNECT", ":authority": `${DB_POD}:${port}` };
      return session.request(headers).on("error", () => {});
    });
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await Promise.all(streams.map((stream) => once(stream, "close")));
  }
  assert.equal(session.closed, false);
  session.destroy();
});

test("a drain lets streams end and says so: the client goes to another session", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const old = tunnel.dial(port);
  old.write("a");
  await once(old, "data");
  tunnel.tunnels.drain();
  const sessions = () => tunnel.client.dialled.length;
  await until(() => {
    const probe = tunnel.dial(port);
    probe.end();
    return sessions() > 1;
  }, "another session");
  const received = readAll(old);
  old.end("b");
  assert.equal((await received).toString(), "b");
  await until(() => {
    tunnel.sweep();
    return tunnel.server.parts.telemetry.take().sides.server.sessions === 1;
  }, "the drained session to close");
});

/** Connections of one client that prove nothing; some may be reset. */
async function crowd(tunnel: SampleTunnel, from: string): Promise<void> {
  for (let i = 0; i < 512; i++) {
    const socket = tunnel.dialTunnelDoor(DB_POD, from);
    await Promise.race([gone(socket), new Promise((resolve) => socket.once("connect", resolve))]);
  }
}

test("one client cannot take every place: its connections are bounded, others get theirs", async () => {
  using tunnel = new SampleTunnel();
  await crowd(tunnel, WEB_POD);
  await gone(tunnel.dialTunnelDoor());
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const other = tunnel.dial(port, OTHER_WEB_POD);
  other.end("served");
  assert.equal((await readAll(other)).toString(), "served");
});

test("addresses that prove nothing leave room for others, the fewer the more they are", async () => {
  using tunnel = new SampleTunnel();
  const { telemetry } = tunnel.server.parts;
  const refused = async (from: string): Promise<number> => {
    await crowd(tunnel, from);
    const [row] = telemetry.take().handshakes.filter(([, result]) => result === "limit");
    return row?.[2] ?? 0;
  };
  const first = await refused("10.1.0.7");
  const second = await refused("10.1.0.8");
  assert.ok(first > 0 && second > first, `${first}, ${second}`);
});

/** Connections that say what is no TLS, until one is refused before it can. */
async function exhaust(tunnel: SampleTunnel): Promise<void> {
  for (let i = 0; i < FAILED_HANDSHAKES.burst; i += 32) {
    const sockets = Array.from({ length: 64 }, () => tunnel.dialTunnelDoor());
    await Promise.all(sockets.map((socket) => gone(socket.resume().end("no TLS"))));
    const { handshakes } = tunnel.server.parts.telemetry.take();
    if (handshakes.some(([, result]) => result === "too-often")) return;
  }
  assert.fail("handshakes fail without end");
}

test("an address whose handshakes fail all the time is refused before TLS, and no other is", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  await exhaust(tunnel);
  const other = tunnel.dial(port, OTHER_WEB_POD);
  other.end("served");
  assert.equal((await readAll(other)).toString(), "served");
});

test("who proves an identity pays nothing: one place is enough for any number of sessions", async () => {
  using tunnel = new SampleTunnel();
  await exhaust(tunnel);
  tunnel.aheadMs += (2 * 1_000) / FAILED_HANDSHAKES.perSecond;
  for (let i = 0; i < 50; i++) {
    const socket = foreignTls(tunnel);
    // The server's settings: by then it has seen the certificate.
    await once(socket, "data");
    socket.destroy();
    await until(() => tunnel.tunnels.isIdle, "the session to end");
  }
  const { handshakes } = tunnel.server.parts.telemetry.take();
  assert.deepEqual(handshakes, [["server", "ok", 50]]);
});
