import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import fc from "fast-check";
import { type HelloRead, readClientHello } from "./client-hello.ts";
import { type SampleHello, sampleHello } from "./sample-hello.ts";

/** What a real client sends first. */
async function realHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert(address !== null && typeof address === "object");
  const client = connect({ host: "127.0.0.1", port: address.port, ...options });
  client.on("error", () => {});
  const [socket] = (await once(server, "connection")) as [import("node:net").Socket];
  const [bytes] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

function hello(serverName: string | undefined): HelloRead {
  return { kind: "hello", hello: { serverName } };
}

const MORE: HelloRead = { kind: "more" };

test("hellos of a real client are read, and no part of one is", async () => {
  const names = Array.from({ length: 200 }, (_, i) => `protocol-number-${i}`);
  const clients: readonly ConnectionOptions[] = [
    { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    { minVersion: "TLSv1.3", ecdhCurve: "X25519MLKEM768:X25519" },
    { ALPNProtocols: names },
  ];
  for (const options of clients) {
    const bytes = await realHello({ servername: "Shop.Example.com", ...options });
    assert.deepEqual(readClientHello(bytes), hello("shop.example.com"));
    for (let length = 0; length < bytes.length; length++) {
      assert.deepEqual(readClientHello(bytes.subarray(0, length)), MORE, `${length} bytes`);
    }
  }
});

test("a client that names no server has no server name", async () => {
  assert.deepEqual(readClientHello(await realHello({})), hello(undefined));
  assert.deepEqual(readClientHello(sampleHello({ extensions: "none" })), hello(undefined));
});

test("records may cut the message anywhere, and segments the records", () => {
  for (let size = 1; size < 80; size++) {
    const bytes = sampleHello({ name: "a.b", recordBytes: size });
    assert.deepEqual(readClientHello(bytes), hello("a.b"), `records of ${size}`);
    assert.deepEqual(readClientHello(bytes.subarray(0, -1)), MORE);
  }
});

test("what follows the hello does not matter, be it early data or garbage", () => {
  const bytes = sampleHello({ name: "a.b" });
  assert.deepEqual(readClientHello(Buffer.concat([bytes, Buffer.from("GET /")])), hello("a.b"));
});

test("names are lower-case and without their trailing dot", () => {
  assert.deepEqual(
    readClientHello(sampleHello({ name: "API.Shop.example." })),
    hello("api.shop.example"),
  );
});

test("what is no hello is told at once, with a reason", () => {
  const changed = (at: number, value: number): Buffer => {
    const bytes = sampleHello({ name: "a.b" });
    bytes[at] = value;
    return bytes;
  };
  const refused: readonly (readonly [Uint8Array, RegExp])[] = [
    [Buffer.from("GET / HTTP/1.1"), /record type 71/],
    [Buffer.from("S"), /record type 83/],
    [changed(0, 23), /record type 23/],
    [changed(1, 2), /record version 2/],
    [Buffer.from([22, 3, 1, 0, 0]), /record of 0 bytes/],
    [Buffer.from([22, 3, 1, 0x40, 1]), /record of 16385 bytes/],
    [changed(5, 2), /handshake message 2/],
    [changed(43, 33), /session id|cut short|cipher/],
  ];
  for (const [bytes, why] of refused) {
    const read = readClientHello(bytes);
    assert(read.kind === "no-hello", bytes.toString());
    assert.match(read.why, why);
  }
});

test("two names, no name and names that no host has are refused: there is one reading only", () => {
  const strange: readonly SampleHello[] = [
    { name: "a.b", times: 2 },
    { name: "" },
    { name: "a..b" },
    { name: "a b" },
    { name: "a\0.b" },
    { name: "b\u00fccher.example" },
    { name: "a".repeat(256) },
    { name: "a.b", nameType: 1 },
    { name: "a.b", afterName: 1 },
    { name: "a.b", afterExtensions: 1 },
  ];
  for (const sample of strange) {
    assert.equal(readClientHello(sampleHello(sample)).kind, "no-hello", JSON.stringify(sample));
  }
});

test("any bytes are read without a throw, and a longer prefix never takes a refusal back", () => {
  const prefixes = (bytes: Uint8Array): void => {
    let refused = false;
    for (let length = 0; length <= bytes.length; length++) {
      const { kind } = readClientHello(bytes.subarray(0, length));
      assert(!refused || kind === "no-hello");
      refused = kind === "no-hello";
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), prefixes), { numRuns: 200 });
  const damage = fc.record({
    at: fc.nat(120),
    value: fc.nat(255),
    recordBytes: fc.integer({ min: 1, max: 200 }),
  });
  fc.assert(
    fc.property(damage, ({ at, value, recordBytes }) => {
      const bytes = sampleHello({ name: "shop.example", recordBytes });
      bytes[at % bytes.length] = value;
      prefixes(bytes);
    }),
    { numRuns: 300 },
  );
});
