// One stream, at the end of either pod. `serve SINK SOURCE`: at the port SINK takes what is sent,
// and answers each connection at its end with how many bytes that were; at SOURCE sends without
// end. `up ADDRESS PORT SECONDS` and `down ADDRESS PORT SECONDS` are the clients of the two, and
// print a Stream.

import assert from "node:assert/strict";
import { writeSync } from "node:fs";
import type { StreamOwner } from "../lib/reactor/byte-stream.ts";
import { Reactor } from "../lib/reactor/reactor.ts";
import { encodeSocketAddress } from "../lib/reactor/socket-address.ts";
import { acceptFrom } from "../lib/reactor/tcp-listener.ts";
import { TcpStream } from "../lib/reactor/tcp-stream.ts";
import { AF_INET, streamSocket, tryBind, tryListen } from "../lib/sys/ffi.ts";

/** What was carried. */
export interface Stream {
  readonly bytes: number;
  readonly seconds: number;
}

const PIECE = Buffer.alloc(262_144);
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
const reactor = new Reactor(() => performance.now());
const [mode, ...words] = process.argv.slice(2);

if (mode === "serve") {
  listen(Number(words[0]), count);
  listen(Number(words[1]), (stream) => {
    stream.owner = { ...NOBODY, onDrained: send(stream, () => false) };
  });
} else {
  const [address = "", port, seconds] = words;
  const to = { address, port: Number(port) };
  if (mode === "up") up(to, 1_000 * Number(seconds));
  else down(to, 1_000 * Number(seconds));
}

function listen(port: number, onStream: (stream: TcpStream) => void): void {
  const fd = streamSocket(AF_INET);
  assert.equal(tryBind(fd, encodeSocketAddress("0.0.0.0", port)), 0);
  assert.equal(tryListen(fd, 16), 0);
  acceptFrom(reactor, fd, (accepted, ends) => {
    const stream = TcpStream.accepted(reactor, accepted, ends, NOBODY);
    onStream(stream);
    stream.resume();
  });
}

function count(stream: TcpStream): void {
  let bytes = 0;
  stream.owner = {
    ...NOBODY,
    onData: (_, start, end) => {
      bytes += end - start;
    },
    onEnd: () => {
      stream.push(Buffer.from(String(bytes)));
      stream.end();
    },
  };
}

/** Sends as fast as it is taken, until it is over. @returns what goes on when there is room */
function send(stream: TcpStream, isOver: () => boolean): () => void {
  const more = (): void => {
    if (!stream.isOpen) return;
    if (isOver()) stream.end();
    else if (stream.write(PIECE, 0, PIECE.length)) setImmediate(more);
  };
  setImmediate(more);
  return more;
}

function up(to: { readonly address: string; readonly port: number }, limitMs: number): void {
  const startMs = performance.now();
  let answer = "";
  const stream = dial(to, () => {
    stream.owner = {
      ...NOBODY,
      onData: (bytes, start, end) => {
        answer += bytes.toString("latin1", start, end);
      },
      onDrained: send(stream, () => performance.now() - startMs > limitMs),
      onClosed: () => print(Number(answer), startMs),
    };
  });
}

function down(to: { readonly address: string; readonly port: number }, limitMs: number): void {
  const startMs = performance.now();
  let bytes = 0;
  const stream = dial(to, () => {});
  stream.owner = {
    ...NOBODY,
    onData: (_, start, end) => {
      bytes += end - start;
    },
    onClosed: (code) => assert.fail(`the stream broke: ${code}`),
  };
  setTimeout(() => print(bytes, startMs), limitMs);
}

function dial(
  to: { readonly address: string; readonly port: number },
  onOpen: () => void,
): TcpStream {
  const encoded = encodeSocketAddress(to.address, to.port);
  const owner = { ...NOBODY, onOpen };
  const stream = TcpStream.connecting(
    reactor,
    streamSocket(AF_INET),
    { remote: to, encoded },
    owner,
  );
  assert(typeof stream !== "string", "the kernel refuses to connect");
  return stream;
}

/** The last word. */
function print(bytes: number, startMs: number): void {
  assert(bytes > 0, "nothing arrived");
  const stream: Stream = { bytes, seconds: (performance.now() - startMs) / 1_000 };
  writeSync(1, `${JSON.stringify(stream)}\n`);
  process.exit();
}
