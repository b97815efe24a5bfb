import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, test } from "node:test";
import { type ConnectionOptions, connect, createServer, type TLSSocket } from "node:tls";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import type { ByteStream, StreamOwner } from "../reactor/byte-stream.ts";
import { Reactor } from "../reactor/reactor.ts";
import { listenOnLoopback, loopbackDialer } from "../reactor/sample-loopback.ts";
import { TcpStream } from "../reactor/tcp-stream.ts";
import { OpensslError } from "../sys/openssl.ts";
import { makeSampleAuthority, type SampleCredential } from "./sample-credentials.ts";
import { TlsContext } from "./tls-context.ts";
import { TlsStream } from "./tls-stream.ts";

const reactor = new Reactor(() => performance.now());
after(() => reactor.stop());
const authority = makeSampleAuthority();
const stranger = makeSampleAuthority();
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const DB = "spiffe://cluster.local/ns/shop/sa/db";
const web = authority.issue(WEB);
const db = authority.issue(DB);

/** Notes what it hears. */
class Listener implements StreamOwner {
  readonly opened = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<string | undefined>();
  readonly chunks: Buffer[] = [];
  onDrained = (): void => {};
  onBytes: (length: number) => void = () => {};

  onOpen(): void {
    setImmediate(this.opened.resolve);
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.chunks.push(Buffer.from(bytes.subarray(start, end)));
    this.onBytes(end - start);
  }
  onEnd(): void {
    setImmediate(this.ended.resolve);
  }
  onClosed(code: string | undefined): void {
    setImmediate(() => this.closed.resolve(code));
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

interface Side {
  readonly owner: Listener;
  readonly stream: TlsStream;
}

function contextOf(
  side: "client" | "server",
  credential: SampleCredential,
  anchors = [authority.root],
  protocols = ["h2"],
): TlsContext {
  return new TlsContext({ side, ...credential, anchors, protocols });
}

/** Accepts one connection. */
function serve(context: TlsContext): { readonly port: number; readonly accepted: Promise<Side> } {
  const accepted = Promise.withResolvers<Side>();
  const listener = listenOnLoopback(reactor, (fd, ends) => {
    const owner = new Listener();
    const stream = TlsStream.server(
      reactor,
      TcpStream.accepted(reactor, fd, ends, owner),
      context,
      owner,
    );
    listener.close();
    setImmediate(() => accepted.resolve({ owner, stream }));
  });
  return { port: listener.port, accepted: accepted.promise };
}

function call(port: number, context: TlsContext): Promise<Side> {
  const { promise, resolve } = Promise.withResolvers<Side>();
  const owner = new Listener();
  const tcp = loopbackDialer(reactor).dial(
    { to: { address: "127.0.0.1", port } },
    {
      onOpen: () => {
        assert(tcp instanceof TcpStream);
        const stream = TlsStream.client(reactor, tcp, context, owner);
        setImmediate(() => resolve({ owner, stream }));
      },
      onData() {},
      onEnd() {},
      onDrained() {},
      onClosed: (code) => assert.fail(`cannot connect: ${code}`),
    },
  );
  return promise;
}

async function pair(): Promise<{ readonly client: Side; readonly server: Side }> {
  const { port, accepted } = serve(contextOf("server", web));
  const client = await call(port, contextOf("client", db));
  const server = await accepted;
  await Promise.all([client.owner.opened.promise, server.owner.opened.promise]);
  return { client, server };
}

function write(stream: ByteStream, bytes: Buffer): boolean {
  return stream.write(bytes, 0, bytes.length);
}

test("both sides see the other's certificate as it was shown, and the protocol agreed on", async () => {
  const { client, server } = await pair();
  assert.deepEqual([client.stream.protocol, server.stream.protocol], ["h2", "h2"]);
  const der = (pem: string): Buffer => Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64");
  assert.deepEqual(client.stream.peerChain, [der(web.chain)]);
  assert.deepEqual(server.stream.peerChain, [der(db.chain)]);
  client.stream.close();
  assert.equal(await server.owner.closed.promise, "ECONNRESET", "no word that it was the end");
});

test("16 MiB cross whole, with a reader that pauses, and an end in each direction", async () => {
  const { client, server } = await pair();
  const bytes = randomBytes(16 << 20);
  let rounds = 0;
  server.owner.onBytes = () => {
    if (++rounds % 20 !== 0) return;
    server.stream.pause();
    setImmediate(() => server.stream.resume());
  };
  assert.equal(write(client.stream, bytes), false, "some had to wait");
  assert(client.stream.queuedBytes > 0);
  client.stream.end();
  await server.owner.ended.promise;
  const sha = (all: Buffer): string => createHash("sha256").update(all).digest("hex");
  assert.equal(sha(server.owner.bytes), sha(bytes));
  write(server.stream, Buffer.from("thanks"));
  server.stream.end();
  assert.equal(await client.owner.closed.promise, undefined);
  assert.equal(await server.owner.closed.promise, undefined);
  assert.equal(client.owner.bytes.toString(), "thanks");
});

test("what is pushed in one round leaves together, in order", async () => {
  const { client, server } = await pair();
  for (const word of ["one ", "two ", "three"]) client.stream.push(Buffer.from(word));
  const { promise, resolve } = Promise.withResolvers<void>();
  server.owner.onBytes = () => {
    if (server.owner.bytes.length === 13) setImmediate(resolve);
  };
  await promise;
  assert.equal(server.owner.bytes.toString(), "one two three");
  client.stream.reset();
  assert.equal(await server.owner.closed.promise, "ECONNRESET");
});

test("a root that is not trusted ends the handshake on both sides, before any byte", async () => {
  const { port, accepted } = serve(contextOf("server", web));
  const client = await call(port, contextOf("client", stranger.issue(DB)));
  const server = await accepted;
  assert.equal(await server.owner.closed.promise, "ETLS");
  assert.match(server.stream.failure ?? "", /certificate verify failed/);
  await client.owner.closed.promise;
  assert.equal(server.owner.bytes.length, 0);
});

test("a certificate that is over, or not valid yet, is refused", async () => {
  const now = Date.now();
  const bad = [
    authority.issue(DB, { notAfterMs: now - 60_000 }),
    authority.issue(DB, { notBeforeMs: now + 600_000, notAfterMs: now + 900_000 }),
  ];
  for (const credential of bad) {
    const { port, accepted } = serve(contextOf("server", web));
    await call(port, contextOf("client", credential));
    assert.equal(await (await accepted).owner.closed.promise, "ETLS");
  }
});

test("no certificate, an older TLS or another protocol is refused", async () => {
  const refused: readonly (readonly [ConnectionOptions, RegExp])[] = [
    [{ ALPNProtocols: ["h2"] }, /peer did not return a certificate/],
    [{ ALPNProtocols: ["h2"], cert: db.chain, key: db.key, maxVersion: "TLSv1.2" }, /protocol/],
    [{ ALPNProtocols: ["http/1.1"], cert: db.chain, key: db.key }, /no application protocol/],
  ];
  for (const [options, reason] of refused) {
    const { port, accepted } = serve(contextOf("server", web));
    const socket = connect({
      host: "127.0.0.1",
      port,
      ca: authority.root,
      ...options,
      checkServerIdentity: () => undefined,
    });
    socket.on("error", () => {});
    const server = await accepted;
    assert.equal(await server.owner.closed.promise, "ETLS");
    assert.match(server.stream.failure ?? "", reason);
  }
});

test("Node's own TLS is a peer on either side, and is offered no session to resume", async () => {
  const { port, accepted } = serve(contextOf("server", web));
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: authority.root,
    cert: db.chain,
    key: db.key,
    ALPNProtocols: ["h2"],
    checkServerIdentity: () => undefined,
  });
  let sessions = 0;
  socket.on("session", () => sessions++);
  await once(socket, "secureConnect");
  const server = await accepted;
  await server.owner.opened.promise;
  write(server.stream, Buffer.from("hello"));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.equal(bytes.toString(), "hello");
  assert.deepEqual([sessions, socket.getProtocol()], [0, "TLSv1.3"]);
  socket.end();
  await server.owner.ended.promise;
  server.stream.end();
  assert.equal(await server.owner.closed.promise, undefined);
});

test("a client of ours speaks to Node's server", async () => {
  const server = createServer({
    ca: authority.root,
    cert: web.chain,
    key: web.key,
    requestCert: true,
    ALPNProtocols: ["h2"],
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const connected = once(server, "secureConnection") as Promise<[TLSSocket]>;
  const client = await call((server.address() as AddressInfo).port, contextOf("client", db));
  await client.owner.opened.promise;
  const [socket] = await connected;
  assert.equal(socket.getPeerX509Certificate()?.subjectAltName, `URI:${DB}`);
  write(client.stream, Buffer.from("ping"));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  assert.equal(bytes.toString(), "ping");
  socket.destroy();
  await client.owner.closed.promise;
  server.close();
});

test("a context says what is wrong with its material, and never shows the key", () => {
  const bad: readonly (readonly [SampleCredential, readonly string[]])[] = [
    [{ chain: "nothing", key: web.key }, [authority.root]],
    [{ chain: web.chain, key: db.key }, [authority.root]],
    [{ chain: web.chain, key: "nothing" }, [authority.root]],
    [web, ["nothing"]],
  ];
  for (const [credential, anchors] of bad) {
    assert.throws(
      () => contextOf("server", credential, [...anchors]),
      (error) => error instanceof OpensslError && !error.message.includes(web.key),
    );
  }
});

test("a client does not offer to take compressed certificates", async () => {
  const server = createTcpServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const { stream } = await call((server.address() as AddressInfo).port, contextOf("client", db));
  const [socket] = await accepted;
  const [hello] = (await once(socket, "data")) as [Buffer];
  stream.close();
  socket.destroy();
  server.close();
  const COMPRESS_CERTIFICATE = 27;
  assert(!extensionTypes(hello).includes(COMPRESS_CERTIFICATE));
});

/** Of a ClientHello that is whole in one record (RFC 8446, section 4.1.2). */
function extensionTypes(hello: Buffer): readonly number[] {
  // Heads of record and message, version, random; then the session id.
  const sessionAt = 5 + 4 + 2 + 32;
  const suitesAt = sessionAt + 1 + hello.readUInt8(sessionAt);
  const methodsAt = suitesAt + 2 + hello.readUInt16BE(suitesAt);
  const extensionsAt = methodsAt + 1 + hello.readUInt8(methodsAt);
  const end = extensionsAt + 2 + hello.readUInt16BE(extensionsAt);
  const types: number[] = [];
  for (let at = extensionsAt + 2; at < end; at += 4 + hello.readUInt16BE(at + 2)) {
    types.push(hello.readUInt16BE(at));
  }
  assert(types.length > 5, "it is a ClientHello");
  return types;
}
