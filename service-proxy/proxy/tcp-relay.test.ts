import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterEach, test } from "node:test";
import { endOf, readAll, SampleBackend, SampleRelay } from "./sample-relay.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

async function backend(onSocket?: (socket: Socket) => void): Promise<SampleBackend> {
  const started = await SampleBackend.start(onSocket);
  open.push(started);
  return started;
}

function relay(...plan: ConstructorParameters<typeof SampleRelay>): SampleRelay {
  const made = new SampleRelay(...plan);
  open.push(made);
  return made;
}

const RULE = "NetworkPolicy shop/web";

/** A port that refuses. */
async function refusedPort(): Promise<number> {
  const gone = await SampleBackend.start();
  gone.refuse();
  return gone.port;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test("bytes go both ways, each end as it comes", async () => {
  const { port, sockets } = await backend();
  const rig = relay({ groups: { web: [port] } });
  const client = await rig.client();
  client.end("request");
  await until(() => sockets.length === 1);
  const server = sockets[0] ?? assert.fail();
  server.write(`${(await readAll(server)).toString()} answered `);
  setImmediate(() => server.end("after the client's end"));
  assert.equal((await readAll(client)).toString(), "request answered after the client's end");
  await until(() => rig.ended === 1);
  assert.deepEqual(rig.results(), { ok: 1 });
});

test("a server that speaks first is heard before the client said a word", async () => {
  const { port } = await backend((socket) => void socket.write("220 ready\r\n"));
  const rig = relay({ groups: { web: [port] } });
  const [greeting] = (await once(await rig.client(), "data")) as [Buffer];
  assert.equal(greeting.toString(), "220 ready\r\n");
});

test("the server may end first and still be sent to", async () => {
  const { port, sockets } = await backend((socket) => void socket.end("bye"));
  const rig = relay({ groups: { web: [port] } });
  const client = await rig.client();
  assert.equal((await readAll(client)).toString(), "bye");
  client.end("late words");
  assert.equal((await readAll(sockets[0] ?? assert.fail())).toString(), "late words");
});

test("a reset goes through to the other side, whichever sends it", async () => {
  const { port, sockets } = await backend();
  const rig = relay({ groups: { web: [port] } });
  const first = await rig.client();
  await until(() => sockets.length === 1);
  sockets[0]?.resetAndDestroy();
  assert.equal(await endOf(first), "ECONNRESET");
  const second = await rig.client();
  await until(() => sockets.length === 2);
  second.resetAndDestroy();
  assert.equal(await endOf(sockets[1] ?? assert.fail()), "ECONNRESET");
  await until(() => rig.ended === 2);
  assert.deepEqual(rig.results(), { reset: 1, cancelled: 1 });
});

test("a reader that is slow slows the sender down; what waits here is bounded", async () => {
  const { port, sockets } = await backend();
  const rig = relay({ groups: { web: [port] } });
  const client = await rig.client();
  client.pause();
  await until(() => sockets.length === 1);
  const sender = sockets[0] ?? assert.fail();
  const sent = Buffer.alloc(64 << 20, "0123456789abcdef");
  sender.end(sent);
  // As much as kernel buffers hold, which is a part of it.
  let before = -1;
  while (sender.writableLength !== before) {
    before = sender.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(rig.ended, 0);
  assert(process.memoryUsage().arrayBuffers < sent.length + (8 << 20));
  client.resume();
  const received = await readAll(client);
  assert(received.equals(sent));
});

test("others are tried when an endpoint refuses; when all do, the client is reset at once", async () => {
  const { port } = await backend((socket) => void socket.end("here"));
  const down = [await refusedPort(), await refusedPort()];
  const rig = relay({ groups: { web: [...down, port] } });
  for (let i = 0; i < 6; i++) {
    const client = await rig.client();
    assert.equal((await readAll(client)).toString(), "here");
    client.end();
  }
  const nobody = relay({ groups: { web: down } });
  assert.equal(await endOf(await nobody.client()), "ECONNRESET");
  assert.equal(nobody.ended, 1);
  assert.deepEqual(nobody.results(), { "connect-failed": 1 });
});

test("a group without endpoints resets", async () => {
  const rig = relay({ groups: { web: [] } });
  assert.equal(await endOf(await rig.client()), "ECONNRESET");
  assert.deepEqual(rig.results(), { "no-endpoints": 1 });
});

test("a connection where nothing moves ends after the idle time, counted from the last byte", async () => {
  const { port } = await backend((socket) => void socket.pipe(socket));
  const rig = relay({ groups: { web: [port] }, limits: { idleTimeoutMs: 60_000 } });
  const client = await rig.client();
  client.write("ping");
  await once(client, "data");
  rig.pass(50_000);
  client.write("ping");
  await once(client, "data");
  rig.pass(50_000);
  assert.equal(rig.ended, 0);
  rig.pass(10_000);
  assert.equal(await endOf(client), "ECONNRESET");
  assert.deepEqual(rig.results(), { timeout: 1 });
});

test("a client that goes while its endpoint is being dialled ends once", async () => {
  const rig = relay({ groups: { web: [await refusedPort()] } });
  const client = await rig.client();
  client.resetAndDestroy();
  await until(() => rig.ended > 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(rig.ended, 1);
});

test("PROXY protocol: the endpoint is told who the client is, before its first byte", async () => {
  const { port, sockets } = await backend();
  const rig = relay({ groups: { web: [port] }, proxyProtocol: true });
  const client = await rig.client();
  client.end("hello");
  await until(() => sockets.length === 1);
  const bytes = await readAll(sockets[0] ?? assert.fail());
  assert.equal(bytes.subarray(0, 12).toString("latin1"), "\r\n\r\n\0\r\nQUIT\n");
  assert.deepEqual([...bytes.subarray(12, 16)], [0x21, 0x11, 0, 12]);
  assert.deepEqual([...bytes.subarray(16, 24)], [10, 1, 0, 9, 127, 0, 0, 1]);
  assert.equal(bytes.readUInt16BE(24), 4_000);
  assert.equal(bytes.readUInt16BE(26), client.remotePort);
  assert.equal(bytes.subarray(28).toString(), "hello");
});

test("a client that may reach no endpoint is reset, and no endpoint hears of it", async () => {
  const { port, sockets } = await backend();
  const rig = relay({ groups: { web: [port] } });
  rig.refused.set(port, RULE);
  assert.equal(await endOf(await rig.client()), "ECONNRESET");
  await until(() => rig.ended === 1);
  assert.deepEqual(rig.results(), { denied: 1 });
  assert.equal(sockets.length, 0);
  await rig.parts.accessLog.flushed();
  const told = JSON.parse(rig.lines[0] ?? "") as Record<string, unknown>;
  assert.deepEqual([told.rule, told.client, told.endpoint], [RULE, "10.1.0.9", ""]);
});

test("a client is led to the endpoints that it may reach", async () => {
  const { port } = await backend((socket) => void socket.end("allowed"));
  const other = await backend((socket) => void socket.end("forbidden"));
  const rig = relay({ groups: { web: [other.port, port] } });
  rig.refused.set(other.port, RULE);
  for (let i = 0; i < 4; i++) {
    const client = await rig.client();
    assert.equal((await readAll(client)).toString(), "allowed");
    client.end();
  }
});

test("a connection that policies allow no more is reset at both ends", async () => {
  const { port, sockets } = await backend((socket) => void socket.write("hello"));
  const rig = relay({ groups: { web: [port] } });
  const client = await rig.client();
  await once(client, "data");
  rig.parts.deadlines.rejudge();
  assert.equal(rig.ended, 0);
  rig.refused.set(port, RULE);
  const server = sockets[0] ?? assert.fail();
  const ends = [endOf(client), endOf(server)];
  rig.parts.deadlines.rejudge();
  assert.deepEqual(await Promise.all(ends), ["ECONNRESET", "ECONNRESET"]);
  assert.deepEqual(rig.results(), { denied: 1 });
  await rig.parts.accessLog.flushed();
  const told = JSON.parse(rig.lines[0] ?? "") as Record<string, unknown>;
  assert.deepEqual([told.rule, told.sentBytes, told.flags], [RULE, 5, ["denied"]]);
  assert.deepEqual(
    rig.denied.map(({ rule, flags }) => [rule, flags]),
    [[RULE, ["denied"]]],
  );
});

test("policies that changed while a connection was dialled hold for it", async () => {
  const { port } = await backend((socket) => void socket.write("hello"));
  const rig = relay({ groups: { web: [port] } });
  const { dialer } = rig.parts;
  const dial = dialer.dial.bind(dialer);
  dialer.dial = (options, owner) => {
    rig.refused.set(port, RULE);
    return dial(options, owner);
  };
  assert.equal(await endOf(await rig.client()), "ECONNRESET");
  assert.deepEqual(rig.results(), { denied: 1 });
});
