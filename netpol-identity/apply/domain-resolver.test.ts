import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import {
  DomainResolver,
  KEPT_MS,
  LONGEST_MS,
  makeResolveName,
  ROTATION_MS,
  SHORTEST_MS,
  type ResolvedAddress,
} from "./domain-resolver.ts";

function makeRig() {
  const clock = makeFakeClock();
  const names = new Set(["a.example"]);
  const world: { answer: readonly ResolvedAddress[] | undefined } = {
    answer: [{ address: "192.0.2.1", ttl: 30 }],
  };
  const asked: string[] = [];
  const told = new Map<string, readonly string[]>();
  const resolver = new DomainResolver({
    names: () => names,
    resolve: async (name) => {
      asked.push(name);
      if (world.answer === undefined) throw new Error("SERVFAIL");
      return world.answer;
    },
    onAddresses: (name, addresses) => told.set(name, [...addresses]),
    clock,
  });
  const stop = new AbortController();
  const running = resolver.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  return { clock, names, world, asked, told, resolver, end };
}

test("a name is asked for again when its records end, neither at once nor too late", async () => {
  const { clock, world, asked, told, end } = makeRig();
  await clock.advance(0);
  assert.deepEqual(told.get("a.example"), ["192.0.2.1"]);
  await clock.advance(29_000);
  assert.equal(asked.length, 1);
  world.answer = [{ address: "192.0.2.1", ttl: 0 }];
  await clock.advance(1_000);
  assert.equal(asked.length, 2);
  await clock.advance(SHORTEST_MS - 1);
  assert.equal(asked.length, 2);
  world.answer = [{ address: "192.0.2.1", ttl: 86_400 }];
  await clock.advance(1);
  await clock.advance(LONGEST_MS);
  assert.equal(asked.length, 4);
  await end();
});

test("while nobody answers the last addresses hold, and not for ever", async () => {
  const { clock, world, told, end } = makeRig();
  await clock.advance(0);
  world.answer = undefined;
  await clock.advance(KEPT_MS - 60_000);
  assert.deepEqual(told.get("a.example"), ["192.0.2.1"]);
  await clock.advance(120_000);
  assert.deepEqual(told.get("a.example"), []);
  await end();
});

test("addresses that take turns stay a while, and reserved ones are nobody's", async () => {
  const { clock, world, told, end } = makeRig();
  await clock.advance(0);
  world.answer = ["192.0.2.2", "127.0.0.1", "::1", "224.0.0.1", "2001:db8::1"].map((address) => ({
    address,
    ttl: 30,
  }));
  await clock.advance(30_000);
  assert.deepEqual(told.get("a.example"), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
  await clock.advance(ROTATION_MS + 30_000);
  assert.deepEqual(told.get("a.example"), ["192.0.2.2", "2001:db8::1"]);
  await end();
});

test("names come and go", async () => {
  const { clock, names, asked, told, resolver, end } = makeRig();
  await clock.advance(0);
  names.add("b.example");
  names.delete("a.example");
  resolver.look();
  await clock.advance(0);
  assert.deepEqual(told.get("a.example"), []);
  assert.deepEqual(told.get("b.example"), ["192.0.2.1"]);
  assert.deepEqual(asked, ["a.example", "b.example"]);
  await end();
});

test("a real server is asked, with the time to live; one family may lack", async () => {
  const server = createSocket("udp4");
  server.on("message", (query, { address, port }) => {
    const questionEnd = query.indexOf(0, 12) + 5;
    const head = Buffer.from(query.subarray(0, 12));
    const isV4 = query.readUInt16BE(questionEnd - 4) === 1;
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(isV4 ? 1 : 0, 6);
    head.writeUInt32BE(0, 8);
    // A pointer to the question's name, A, IN, 77 s, 4 bytes of address.
    const record = Buffer.from("c00c000100010000004d0004c0000207", "hex");
    const parts = [head, query.subarray(12, questionEnd), ...(isV4 ? [record] : [])];
    server.send(Buffer.concat(parts), port, address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const resolve = makeResolveName([`127.0.0.1:${server.address().port}`]);
    assert.deepEqual(await resolve("a.example"), [{ address: "192.0.2.7", ttl: 77 }]);
  } finally {
    server.close();
  }
});
