// Sessions with peers that break the rules, or nearly do: foreign HTTP/2 at the other end.

import assert from "node:assert/strict";
import { once } from "node:events";
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { headers, PREFACE_TEXT, frame } from "../../lib/http/h2-case-peer.ts";
import { FRAME } from "../../lib/http/h2-frame.ts";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { OutputBuffer } from "../../lib/reactor/output-buffer.ts";
import { Reactor } from "../../lib/reactor/reactor.ts";
import { StreamPair } from "../../lib/reactor/stream-pair.ts";
import { DB, gone, SampleTunnel, until } from "./sample-tunnel.ts";
import { MOST_QUEUED_BYTES } from "./tunnel-limits.ts";
import { GATHERED_BYTES } from "./tunnel-output.ts";
import { TunnelSession } from "./tunnel-session.ts";

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

/** Takes the place of the server's node. */
async function foreignServer(
  tunnel: SampleTunnel,
  onStream: (stream: ServerHttp2Stream) => void,
): Promise<Http2SecureServer> {
  const { chain, key } = tunnel.credential(DB);
  const server = createSecureServer({
    cert: chain,
    key,
    requestCert: true,
    rejectUnauthorized: false,
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    onStream(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  tunnel.tunnelPort = (server.address() as AddressInfo).port;
  return server;
}

test("a stream that was answered is not tried again when its server refuses it after all", async () => {
  using tunnel = new SampleTunnel();
  let requests = 0;
  let text = "";
  const server = await foreignServer(tunnel, (stream) => {
    requests++;
    stream.respond({ ":status": 200 });
    stream.on("data", (bytes: Buffer) => {
      text += bytes.toString();
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
  });
  const socket = tunnel.dial(80);
  socket.write("once");
  await gone(socket);
  assert.deepEqual([requests, text], [1, "once"]);
  server.close();
});

test("a peer that asks on and on and reads no answer loses its session", async (t) => {
  const reactor = new Reactor(() => performance.now());
  t.after(() => reactor.stop());
  const ends = {
    to: { address: "10.2.0.1", port: 15_008 },
    from: { address: "10.1.0.1", port: 1 },
  };
  const pair = new StreamPair(reactor, { ...ends, proof: undefined }, NOBODY);
  const { near, far } = pair;
  pair.open();
  let isOver = false;
  let requests = 0;
  const session = new TunnelSession(
    {
      reactor,
      frames: new OutputBuffer(reactor, GATHERED_BYTES),
      moved() {},
      onOver: () => void (isOver = true),
    },
    near,
    {
      kind: "server",
      onRequest: (id) => {
        requests++;
        session.refuse(id, 400);
      },
    },
  );
  far.pause();
  const head = (id: number) => headers(id, 0, [":method", "CONNECT", ":authority", "a:1"]);
  far.push(Buffer.concat([Buffer.from(PREFACE_TEXT), frame(FRAME.settings, 0, 0)]));
  for (let id = 1; !isOver && requests < MOST_QUEUED_BYTES / 8; ) {
    const heads = Array.from({ length: 1_000 }, (_, i) => head(id + 2 * i));
    id += 2_000;
    far.push(Buffer.concat(heads));
    await until(() => requests >= (id - 1) / 2 || isOver, "the requests to be refused");
  }
  assert.ok(isOver, `${near.queuedBytes} bytes wait`);
});
