// Peers who have proven who they are, and then send what costs us more than them.

import assert from "node:assert/strict";
import { createCipheriv, createHmac } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { duplexPair } from "node:stream";
import { type TestContext, test } from "node:test";
import { connect } from "node:tls";
import { Reactor } from "../reactor/reactor.ts";
import { listenOnLoopback } from "../reactor/sample-loopback.ts";
import { TcpStream } from "../reactor/tcp-stream.ts";
import { makeSampleAuthority } from "./sample-credentials.ts";
import { TlsContext } from "./tls-context.ts";
import { TlsStream } from "./tls-stream.ts";

const authority = makeSampleAuthority();
const anchors = [authority.root];
const server = authority.issue("spiffe://cluster.local/ns/shop/sa/web");
const client = authority.issue("spiffe://cluster.local/ns/shop/sa/db");

/** A server of ours, and Node's client on a socket that the test can write to as well. */
async function open(t: TestContext) {
  const reactor = new Reactor(() => performance.now());
  const turns: number[] = [];
  const closed = Promise.withResolvers<string | undefined>();
  const accepted = Promise.withResolvers<TlsStream>();
  const owner = {
    onData: (_: Buffer, start: number, end: number) => void turns.push(end - start),
    onEnd() {},
    onDrained() {},
    onClosed: (code: string | undefined) => closed.resolve(code),
  };
  const context = new TlsContext({ side: "server", ...server, anchors, protocols: ["h2"] });
  const door = listenOnLoopback(reactor, (fd, ends) => {
    const tcp = TcpStream.accepted(reactor, fd, ends, owner);
    accepted.resolve(TlsStream.server(reactor, tcp, context, owner));
  });
  const raw = connectTcp({ port: door.port, host: "127.0.0.1" });
  raw.on("error", () => {});
  const [inner, outer] = duplexPair();
  outer.pipe(raw).pipe(outer);
  const cert = { cert: client.chain, key: client.key, rejectUnauthorized: false };
  const ciphers = "TLS_AES_128_GCM_SHA256";
  const socket = connect({ socket: inner, ...cert, ciphers, ALPNProtocols: ["h2"] });
  socket.on("error", () => {});
  let secret = Buffer.alloc(0);
  socket.on("keylog", (line) => {
    const [label, , hex = ""] = line.toString().trim().split(" ");
    if (label === "CLIENT_TRAFFIC_SECRET_0") secret = Buffer.from(hex, "hex");
  });
  const stream = await accepted.promise;
  t.after(() => {
    stream.close();
    door.close();
    raw.destroy();
    setImmediate(() => reactor.stop());
  });
  await once(socket, "secureConnect");
  return { stream, raw, socket, secret, turns, closed: closed.promise };
}

/** HKDF-Expand-Label of RFC 8446 §7.1, without a context. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.of(0, length, name.length), name, Buffer.of(0, 1)]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}

/** A record of RFC 8446 §5.2. @param content with its type behind it */
function record(secret: Buffer, sequence: number, content: Buffer): Buffer {
  const head = Buffer.of(23, 3, 3, 0, content.length + 16);
  const nonce = expand(secret, "iv", 12);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence) >>> 0, 8);
  const cipher = createCipheriv("aes-128-gcm", expand(secret, "key", 16), nonce);
  cipher.setAAD(head);
  const sealed = cipher.update(content);
  return Buffer.concat([head, sealed, cipher.final(), cipher.getAuthTag()]);
}

/** New keys are announced again and again. @returns the secret after the last as well */
function keyUpdates(first: Buffer, count: number): { records: Buffer; last: Buffer } {
  const records: Buffer[] = [];
  let last = first;
  for (let i = 0; i < count; i++) {
    records.push(record(last, 0, Buffer.of(24, 0, 0, 1, 0, 22)));
    last = expand(last, "traffic upd", 32);
  }
  return { records: Buffer.concat(records), last };
}

test("a peer that announces new keys now and then is served, one that goes on and on is cut off", async (t) => {
  const { raw, secret, stream, turns, closed } = await open(t);
  const some = keyUpdates(secret, 100);
  raw.write(some.records);
  raw.write(record(some.last, 0, Buffer.from("x\u0017")));
  while (turns.length === 0) await nextTurn();
  assert.ok(stream.isOpen);
  const many = keyUpdates(some.last, 1);
  raw.write(record(some.last, 1, Buffer.of(24, 0, 0, 1, 0, 22)));
  raw.write(keyUpdates(many.last, 6_000).records);
  assert.equal(await closed, "ETLS");
});

test("many records of one byte each are read in turns, and others have theirs in between", async (t) => {
  const { stream, raw, secret, turns } = await open(t);
  stream.pause();
  const records = Array.from({ length: 4_000 }, (_, i) =>
    record(secret, i, Buffer.from("x\u0017")),
  );
  raw.write(Buffer.concat(records));
  await new Promise((resolve) => setTimeout(resolve, 20));
  stream.resume();
  let others = 0;
  const bytes = (): number => turns.reduce((sum, length) => sum + length, 0);
  for (; bytes() < 4_000; others++) await nextTurn();
  assert.ok(Math.max(...turns) <= 128, `${Math.max(...turns)} in one turn`);
  assert.ok(others >= 3, `${others} turns of others`);
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
