import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterEach, test } from "node:test";
import { sampleHello } from "../../lib/tls/sample-hello.ts";
import type { PortKind } from "../model/proxy-plan.ts";
import { endOf, SampleBackend, SampleRelay } from "./sample-relay.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

const ROUTES: PortKind = {
  kind: "tls",
  routes: [
    { hostname: "a.example", backends: [{ group: "a", weight: 1 }] },
    { hostname: "*", backends: [{ group: "rest", weight: 1 }] },
    { hostname: "broken.example", backends: [{ weight: 1 }] },
    { hostname: "none.example", backends: [{ group: "a", weight: 0 }] },
  ],
};

/** Groups "a" and "rest", each with a backend that says its name and then all it gets. */
async function rig(kind: PortKind = ROUTES): Promise<SampleRelay> {
  const groups: Record<string, readonly number[]> = {};
  for (const name of ["a", "rest"]) {
    const backend = await SampleBackend.start((socket) => {
      socket.write(`${name}:`);
      socket.pipe(socket);
    });
    open.push(backend);
    groups[name] = [backend.port];
  }
  const made = new SampleRelay({ groups, kind });
  open.push(made);
  return made;
}

async function received(client: Socket, length: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes < length) {
    const [chunk] = (await once(client, "data")) as [Buffer];
    chunks.push(chunk);
    bytes += chunk.length;
  }
  return Buffer.concat(chunks).toString("latin1");
}

async function refused(made: SampleRelay, ...bytes: readonly Buffer[]): Promise<string> {
  const client = await made.client();
  for (const one of bytes) client.write(one);
  assert.equal(await endOf(client), "ECONNRESET");
  assert.equal(made.port.connections.open, 0);
  return Object.keys(made.results()).join();
}

test("the server name chooses, and the endpoint gets every byte from the first", async () => {
  const made = await rig();
  for (const [name, group] of [
    ["a.example", "a"],
    ["A.EXAMPLE.", "a"],
    ["b.example", "rest"],
    [undefined, "rest"],
  ] as const) {
    const client = await made.client();
    const hello = sampleHello(name === undefined ? {} : { name });
    const bytes = Buffer.concat([hello, Buffer.from("early")]);
    client.write(bytes);
    const expected = `${group}:${bytes.toString("latin1")}`;
    assert.equal(await received(client, expected.length), expected);
  }
});

test("a hello that comes byte by byte, in many records, is understood", async () => {
  const made = await rig();
  const client = await made.client();
  client.setNoDelay(true);
  const hello = sampleHello({ name: "a.example", recordBytes: 20 });
  for (const byte of hello) {
    client.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  const expected = `a:${hello.toString("latin1")}`;
  assert.equal(await received(client, expected.length), expected);
});

test("what is no TLS, has no route, or a route that leads nowhere is reset, and counted so", async () => {
  const made = await rig();
  assert.equal(await refused(made, Buffer.from("GET / HTTP/1.1\r\n")), "bad-request");
  assert.equal(await refused(made, sampleHello({ name: "broken.example" })), "bad-route");
  assert.equal(await refused(made, sampleHello({ name: "none.example" })), "bad-route");
  const [first] = ROUTES.routes;
  assert(first !== undefined);
  const strict = await rig({ kind: "tls", routes: [first] });
  assert.equal(await refused(strict, sampleHello({ name: "b.example" })), "no-route");
  assert.equal(await refused(strict, sampleHello({})), "no-route");
});

test("a hello without end is cut off at 16 KiB", async () => {
  const made = await rig();
  const record = Buffer.concat([Buffer.of(22, 3, 1, 0x20, 0), Buffer.alloc(0x2000)]);
  const message = Buffer.concat([Buffer.of(22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff), record, record]);
  assert.equal(await refused(made, message), "bad-request");
});

test("a client that says nothing for five seconds is reset", async () => {
  const made = await rig();
  const client = await made.client();
  client.write(sampleHello({ name: "a.example" }).subarray(0, 20));
  while (made.parts.deadlines.size === 0) await new Promise(setImmediate);
  made.pass(4_900);
  assert.equal(made.ended, 0);
  made.pass(100);
  assert.equal(await endOf(client), "ECONNRESET");
  assert.deepEqual(made.results(), { timeout: 1 });
  assert.equal(made.ended, 1);
});
