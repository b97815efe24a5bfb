import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, connect as nodeConnect, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { Reactor } from "./reactor.ts";
import { listenOnLoopback, loopbackDialer } from "./sample-loopback.ts";
import { decodeSocketAddress, encodeSocketAddress } from "./socket-address.ts";
import type { ByteStream, StreamOwner } from "./byte-stream.ts";
import { copyToKeep, restOf } from "./kept-bytes.ts";
import { TcpStream } from "./tcp-stream.ts";

const reactor = new Reactor(() => performance.now());
const dialer = loopbackDialer(reactor);
after(() => reactor.stop());

async function server(
  onSocket: (socket: Socket) => void,
): Promise<{ server: Server; port: number }> {
  const listening = createServer({ allowHalfOpen: true }, onSocket).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const address = listening.address();
  assert(address !== null && typeof address === "object");
  return { server: listening, port: address.port };
}

/** Collects what a stream tells; promises are settled where microtasks run. */
class Listening implements StreamOwner {
  readonly chunks: Buffer[] = [];
  readonly opened = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<string | undefined>();
  onOpen(): void {
    setImmediate(this.opened.resolve);
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.chunks.push(Buffer.from(bytes.subarray(start, end)));
  }
  onEnd(): void {
    setImmediate(this.ended.resolve);
  }
  onDrained(): void {}
  onClosed(code: string | undefined): void {
    setImmediate(() => this.closed.resolve(code));
  }
}

function dial(port: number, owner: StreamOwner): ByteStream {
  const stream = dialer.dial({ to: { address: "127.0.0.1", port } }, owner);
  assert(typeof stream !== "string");
  return stream;
}

test("socket addresses of both families survive the way to bytes and back", () => {
  for (const address of ["10.96.0.10", "fd96::1:a0", "::1", "0.0.0.0"]) {
    const bytes = encodeSocketAddress(address, 15_001);
    assert.deepEqual(decodeSocketAddress(bytes), { address, port: 15_001 });
  }
});

test("a dialled connection carries bytes both ways and ends in order", async () => {
  const peer = await server((socket) => void socket.pipe(socket));
  const owner = new Listening();
  const stream = dial(peer.port, owner);
  await owner.opened.promise;
  assert.equal(stream.write(Buffer.from("xhellox"), 1, 6), true);
  stream.push(Buffer.from(" wor"));
  stream.push(Buffer.from("ld"));
  stream.end();
  assert.equal(await owner.closed.promise, undefined);
  assert.equal(Buffer.concat(owner.chunks).toString(), "hello world");
  peer.server.close();
});

test("a refused connection is told with its errno", async () => {
  const peer = await server(() => {});
  peer.server.close();
  await once(peer.server, "close");
  const owner = new Listening();
  dial(peer.port, owner);
  assert.equal(await owner.closed.promise, "ECONNREFUSED");
});

test("a reset is told with its errno, also while reading is paused", async () => {
  const peer = await server((socket) => setImmediate(() => socket.resetAndDestroy()));
  const owner = new Listening();
  const stream = dial(peer.port, owner);
  await owner.opened.promise;
  stream.pause();
  assert.equal(await owner.closed.promise, "ECONNRESET");
  peer.server.close();
});

test("what the kernel does not take waits, and arrives whole", async () => {
  const received: Buffer[] = [];
  const peer = await server((socket) => {
    socket.pause();
    socket.on("data", (bytes: Buffer) => void received.push(bytes));
    setImmediate(() => socket.resume());
    socket.on("end", () => socket.end());
  });
  const owner = new Listening();
  const stream = dial(peer.port, owner);
  await owner.opened.promise;
  const big = Buffer.alloc(8 << 20, "abcdefghijklmnop");
  assert.equal(stream.write(big, 0, big.length), false);
  assert(stream.queuedBytes > 0);
  stream.end();
  assert.equal(await owner.closed.promise, undefined);
  assert(Buffer.concat(received).equals(big));
  peer.server.close();
});

test("a listener hands over connections with both addresses; a paused one reads nothing", async () => {
  const owner = new Listening();
  const accepted = Promise.withResolvers<TcpStream>();
  const listener = listenOnLoopback(reactor, (fd, ends) => {
    const stream = TcpStream.accepted(reactor, fd, ends, owner);
    setImmediate(() => accepted.resolve(stream));
  });
  const client = nodeConnect({ port: listener.port, host: "127.0.0.1" });
  await once(client, "connect");
  client.write("early");
  const stream = await accepted.promise;
  assert.equal(stream.local.port, listener.port);
  assert.equal(stream.remote.port, client.localPort);
  await new Promise(setImmediate);
  assert.deepEqual(owner.chunks, []);
  stream.resume();
  client.end();
  await owner.ended.promise;
  assert.equal(Buffer.concat(owner.chunks).toString(), "early");
  stream.end();
  await once(client, "close");
  listener.close();
});

test("who catches up has what came before: a connection is accepted, and its bytes are told", async () => {
  const owner = new Listening();
  let accepted = 0;
  const listener = listenOnLoopback(reactor, (fd, ends) => {
    accepted++;
    TcpStream.accepted(reactor, fd, ends, owner).resume();
  });
  const stream = dial(listener.port, owner);
  assert.equal(accepted, 0);
  reactor.catchUp();
  assert.equal(accepted, 1);
  assert(stream.isOpen);
  stream.push(Buffer.from("x"));
  reactor.catchUp();
  reactor.catchUp();
  assert.equal(Buffer.concat(owner.chunks).toString(), "x");
  stream.end();
  await owner.ended.promise;
  stream.close();
  listener.close();
});

test("reads are small while much is kept for slow readers, until it is sent or forgotten", async () => {
  const peer = await server((socket) => void socket.on("error", () => {}).pause());
  const owner = new Listening();
  const stream = dial(peer.port, owner);
  await owner.opened.promise;
  const { length } = reactor.readBuffer;
  const big = Buffer.alloc(64 << 20);
  assert.equal(stream.write(big, 0, big.length), false);
  assert(reactor.readBuffer.length < length / 4);
  stream.close();
  assert.equal(reactor.readBuffer.length, length);
  peer.server.close();
});

test("what is left of kept bytes holds on to little else", () => {
  const bytes = copyToKeep(Buffer.from("0123456789"), 2, 10);
  assert.equal(bytes.buffer.byteLength, 8);
  for (let start = 0; start < bytes.length; start++) {
    const rest = restOf(bytes, start);
    assert.equal(rest.toString(), "23456789".slice(start));
    assert(rest.buffer.byteLength <= 2 * rest.length);
  }
});
