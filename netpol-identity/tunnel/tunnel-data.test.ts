// What tunnels carry: bytes, ends, resets and backpressure, between two nodes on loopback.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import {
  DB_POD,
  NOTHING_NEW,
  OTHER_WEB_POD,
  readAll,
  SampleTunnel,
  until,
  WEB,
  WEB_POD,
  DB,
} from "./sample-tunnel.ts";

const MIB = 1 << 20;
const THIRD = { identity: WEB, namespace: "shop", pod: "web-3", mode: "permissive" } as const;
const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

test("a tunnel carries bytes both ways, and a half-close as it comes", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => {
    void readAll(socket).then((request) => socket.end(`got ${request.toString()}`));
  });
  const socket = tunnel.dial(port);
  socket.end("hello");
  assert.equal((await readAll(socket)).toString(), "got hello");
  await until(() => tunnel.server.records.length === 1, "record of the server");
  assert.deepEqual(tunnel.client.dialled, [{ to: `${DB_POD}:15008`, from: WEB_POD }]);
  assert.deepEqual(tunnel.server.dialled, [{ to: `${DB_POD}:${port}`, from: WEB_POD }]);
  const [mine] = tunnel.client.records;
  const [theirs] = tunnel.server.records;
  for (const record of [mine, theirs]) {
    assert(record !== undefined);
    const { source, destination, sentBytes, receivedBytes, result } = record;
    assert.deepEqual(
      { source, destination, sentBytes, receivedBytes, result },
      { source: WEB, destination: DB, sentBytes: 5, receivedBytes: 9, result: "ok" },
    );
  }
  assert.equal(mine?.traceparent, theirs?.traceparent);
});

test("8 MiB each way at once arrive as they were sent", async () => {
  using tunnel = new SampleTunnel();
  const sent = randomBytes(8 * MIB);
  const back = randomBytes(8 * MIB);
  const received = Promise.withResolvers<Buffer>();
  const port = await tunnel.app((socket) => {
    void readAll(socket).then(received.resolve);
    socket.end(back);
  });
  const socket = tunnel.dial(port);
  socket.end(sent);
  assert.equal(hash(await readAll(socket)), hash(back));
  assert.equal(hash(await received.promise), hash(sent));
});

test("a slow reader makes the sender wait: what is kept for it is bounded", async () => {
  using tunnel = new SampleTunnel();
  const total = 64 * MIB;
  const arrived = Promise.withResolvers<Socket>();
  const port = await tunnel.app((socket) => {
    socket.pause();
    arrived.resolve(socket);
  });
  const socket = tunnel.dial(port);
  socket.end(Buffer.alloc(total));
  const reader = await arrived.promise;
  const receivedBytes = await standstill(tunnel);
  assert(receivedBytes < 16 * MIB, `${receivedBytes}`);
  assert.equal((await readAll(reader)).length, total);
});

test("one pod's connections share a session; another pod of the same identity has its own", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const talk = async (from: string): Promise<void> => {
    const socket = tunnel.dial(port, from);
    socket.write("x");
    await once(socket, "data");
  };
  await Promise.all(Array.from({ length: 20 }, () => talk(WEB_POD)));
  await Promise.all(Array.from({ length: 5 }, () => talk(OTHER_WEB_POD)));
  const ofTunnels = tunnel.client.dialled.filter(({ to }) => to.endsWith(":15008"));
  assert.deepEqual(
    ofTunnels.map(({ from }) => from),
    [WEB_POD, OTHER_WEB_POD],
  );
  assert.equal(tunnel.client.parts.telemetry.take().sides.client.streams, 25);
});

test("5,000 connections that are cancelled on one pair cost another pair nothing", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const other = tunnel.dial(port, OTHER_WEB_POD);
  const sent = randomBytes(4 * MIB);
  const received = readAll(other);
  other.write(sent.subarray(0, MIB));
  let opened = 0;
  let failed = 0;
  for (let round = 0; round < 50; round++) {
    const streams = Array.from({ length: 100 }, () => {
      const stream = tunnel.dialer.dial(
        { to: { address: DB_POD, port }, client: WEB_POD },
        {
          onOpen: () => opened++,
          onData() {},
          onEnd() {},
          onDrained() {},
          onClosed: () => failed++,
        },
      );
      assert(typeof stream !== "string");
      return stream;
    });
    const goal = opened + failed + 50;
    await until(() => opened + failed >= goal, "half of a round");
    for (const stream of streams) stream.reset();
  }
  other.end(sent.subarray(MIB));
  assert.equal(hash(await received), hash(sent));
  assert.equal(failed, 0);
  const mine = tunnel.dial(port);
  mine.end("still here");
  assert.equal((await readAll(mine)).toString(), "still here");
});

test("a reset of the client reaches the pod, and one of the pod the client", async () => {
  using tunnel = new SampleTunnel();
  const sockets: Socket[] = [];
  const port = await tunnel.app((socket) => {
    sockets.push(socket);
    socket.on("data", () => {});
  });
  const cancelled = tunnel.dial(port);
  cancelled.write("x");
  await until(() => sockets.length === 1, "the first");
  const reset = Promise.withResolvers<NodeJS.ErrnoException>();
  sockets[0]?.on("error", reset.resolve);
  cancelled.resetAndDestroy();
  assert.equal((await reset.promise).code, "ECONNRESET");
  const broken = tunnel.dial(port);
  const error = Promise.withResolvers<NodeJS.ErrnoException>();
  broken.on("error", error.resolve);
  broken.write("x");
  await until(() => sockets.length === 2, "the second");
  sockets[1]?.resetAndDestroy();
  assert.equal((await error.promise).code, "ECONNRESET");
});

test("readers that take nothing keep memory, but nobody else from being served", async () => {
  using tunnel = new SampleTunnel();
  const slow = await tunnel.app((socket) => socket.pause());
  const quick = await tunnel.app((socket) => socket.pipe(socket));
  for (const pod of [WEB_POD, OTHER_WEB_POD]) {
    for (let i = 0; i < 8; i++) tunnel.dial(slow, pod).write(Buffer.alloc(8 * MIB));
  }
  assert((await standstill(tunnel)) > 16 * MIB);
  tunnel.tell("client", {
    ...NOTHING_NEW,
    workloads: [["10.1.0.3", { ...THIRD, uid: "web-3" }]],
  });
  const socket = tunnel.dial(quick, "10.1.0.3");
  socket.end("served");
  assert.equal((await readAll(socket)).toString(), "served");
});

/** Until the server's node takes no more for a while. @returns how much it took */
async function standstill(tunnel: SampleTunnel): Promise<number> {
  let receivedBytes = 0;
  let still = 0;
  await until(() => {
    const more = tunnel.server.parts.telemetry.take().sides.server.receivedBytes;
    receivedBytes += more;
    still = more === 0 && receivedBytes > 0 ? still + 1 : 0;
    return still > 50;
  }, "a standstill");
  return receivedBytes;
}
