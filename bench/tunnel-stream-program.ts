// One stream upwards. `sink PORT` takes what is sent there, and answers each connection at its end
// with how many bytes that were. `pour ADDRESS PORT SECONDS` sends as fast as it is taken, and
// prints { bytes, seconds } once the sink has answered.

import assert from "node:assert/strict";
import { Reactor } from "../lib/reactor/reactor.ts";
import { encodeSocketAddress } from "../lib/reactor/socket-address.ts";
import { acceptFrom } from "../lib/reactor/tcp-listener.ts";
import { TcpStream } from "../lib/reactor/tcp-stream.ts";
import { AF_INET, streamSocket, tryBind, tryListen } from "../lib/sys/ffi.ts";

const PIECE_BYTES = 262_144;
const [mode, ...words] = process.argv.slice(2);
const reactor = new Reactor(() => performance.now());
const nothing = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

if (mode === "sink") sink(Number(words[0]));
else pour({ address: words[0] ?? "", port: Number(words[1]) }, Number(words[2]));

function sink(port: number): void {
  const fd = streamSocket(AF_INET);
  assert.equal(tryBind(fd, encodeSocketAddress("0.0.0.0", port)), 0);
  assert.equal(tryListen(fd, 16), 0);
  acceptFrom(reactor, fd, (accepted, ends) => {
    const stream = TcpStream.accepted(reactor, accepted, ends, nothing);
    let bytes = 0;
    stream.owner = {
      ...nothing,
      onData: (_, start, end) => {
        bytes += end - start;
      },
      onEnd: () => {
        stream.push(Buffer.from(String(bytes)));
        stream.end();
      },
    };
    stream.resume();
  });
}

function pour(remote: { readonly address: string; readonly port: number }, seconds: number): void {
  const piece = Buffer.alloc(PIECE_BYTES);
  const encoded = encodeSocketAddress(remote.address, remote.port);
  const startMs = performance.now();
  let answer = "";
  const send = (): void => {
    if (performance.now() - startMs > 1_000 * seconds) stream.end();
    else if (stream.write(piece, 0, piece.length)) reactor.later(() => setImmediate(send));
  };
  const stream = TcpStream.connecting(
    reactor,
    streamSocket(AF_INET),
    { remote, encoded },
    {
      onOpen: send,
      onDrained: send,
      onData: (bytes, start, end) => {
        answer += bytes.toString("latin1", start, end);
      },
      onEnd: () => {},
      onClosed: (code) => {
        assert(code === undefined && answer !== "", `the stream broke: ${code}`);
        const took = (performance.now() - startMs) / 1_000;
        process.stdout.write(`${JSON.stringify({ bytes: Number(answer), seconds: took })}\n`);
        process.exit();
      },
    },
  ) as TcpStream;
}
