import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import type { ListenError } from "./http-listener.ts";
import { keepServing } from "./kept-server.ts";

const ok = () => ({ status: 200, body: "ok" });

/** Holds a port so that nobody else can have it. */
async function occupy(): Promise<{ readonly port: number; readonly release: () => Promise<void> }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const release = async (): Promise<void> => {
    server.close();
    await once(server, "close");
  };
  return { port: address.port, release };
}

test("a port in use is tried again every five seconds", async () => {
  const occupied = await occupy();
  const clock = makeFakeClock();
  const stop = new AbortController();
  const failures: ListenError[] = [];
  const failed = Promise.withResolvers<void>();
  const listening = Promise.withResolvers<number>();
  const served = keepServing(
    {
      address: { host: "127.0.0.1", port: occupied.port },
      handler: ok,
      hardFail: false,
      onFailure: (error) => {
        failures.push(error);
        failed.resolve();
      },
      onListening: ({ port }) => listening.resolve(port),
    },
    { clock, signal: stop.signal },
  );
  await failed.promise;
  await occupied.release();
  await clock.advance(4_999);
  assert.equal(failures.length, 1);
  await clock.advance(1);
  assert.equal(await listening.promise, occupied.port);
  assert.equal((await fetch(`http://127.0.0.1:${occupied.port}/`)).status, 200);
  stop.abort();
  await served;
  await assert.rejects(fetch(`http://127.0.0.1:${occupied.port}/`));
  assert.deepEqual(
    failures.map((error) => error.code),
    ["EADDRINUSE"],
  );
});

test("with hard fail the first failure is thrown", async () => {
  const { port, release } = await occupy();
  const { signal } = new AbortController();
  const server = { address: { host: "127.0.0.1", port }, handler: ok, hardFail: true };
  await assert.rejects(keepServing(server, { clock: makeFakeClock(), signal }), {
    code: "EADDRINUSE",
  });
  await release();
});

test("an abort before the start serves nothing", async () => {
  const server = { address: { host: "127.0.0.1", port: 0 }, handler: ok, hardFail: true };
  await keepServing(server, { clock: makeFakeClock(), signal: AbortSignal.abort() });
});
