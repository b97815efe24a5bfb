import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import type { TapFilter, TappedRequest } from "../model/admin-protocol.ts";
import { sampleRecord } from "../model/sample-record.ts";
import { EdgeTable } from "../proxy/edge-table.ts";
import type { AdminParts } from "./admin-handler.ts";
import { serveAdmin } from "./admin-server.ts";
import { ProxyStats } from "./proxy-stats.ts";

interface Rig {
  readonly path: string;
  readonly stats: ProxyStats;
  readonly taps: Map<TapFilter, (tapped: TappedRequest) => void>;
  readonly ask: (line: string) => { socket: Socket; next: () => Promise<unknown> };
}

async function withServer(
  run: (rig: Rig) => Promise<void>,
  more: Partial<AdminParts> = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "im-admin-"));
  const path = join(folder, "sub", "node.sock");
  const stop = new AbortController();
  const stats = new ProxyStats();
  const taps: Rig["taps"] = new Map();
  const parts = {
    stats,
    openTap: (filter: TapFilter, onRequest: (tapped: TappedRequest) => void) => {
      taps.set(filter, onRequest);
      return () => taps.delete(filter);
    },
    refresh: () => Promise.resolve(),
    monotonicMs: () => 77,
    ...more,
  };
  const served = serveAdmin(path, parts, stop.signal);
  const ask = (line: string): ReturnType<Rig["ask"]> => {
    const socket = connect(path);
    socket.write(`${line}\n`);
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value));
    return { socket, next };
  };
  try {
    await new Promise((resolve) => setImmediate(resolve));
    await run({ path, stats, taps, ask });
  } finally {
    stop.abort();
    await served;
    rmSync(folder, { recursive: true });
  }
}

test("only the owner may use the socket", () =>
  withServer(({ path }) => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(path, "..")).mode & 0o777, 0o700);
    return Promise.resolve();
  }));

test("`top` answers with the sums, as often as it is asked", () =>
  withServer(async ({ stats, ask }) => {
    const table = new EdgeTable("http");
    const slot = table.slot("shop", "default/web:80", "", "10.0.0.1:80", 0);
    table.started(slot);
    table.finished(slot, "2xx", 1);
    stats.add(1, { edges: table.drain(0), ejected: [["a", "b"]], accessLogLost: 0 }, 0);
    const { socket, next } = ask('{"verb":"top"}\n{"verb":"top"}');
    for (let i = 0; i < 2; i++) {
      const answer = (await next()) as Record<string, unknown>;
      assert.deepEqual([answer["kind"], answer["atMs"]], ["top", 77]);
      assert.deepEqual(answer["ejected"], [{ service: "a", endpoint: "b" }]);
      assert.equal((answer["edges"] as unknown[]).length, 1);
    }
    socket.destroy();
  }));

test("`tap` shows requests until the client goes", () =>
  withServer(async ({ taps, ask }) => {
    const { socket, next } = ask('{"verb":"tap","filter":{"service":"default/web"}}');
    while (taps.size === 0) await new Promise((resolve) => setImmediate(resolve));
    const [[filter, onRequest] = assert.fail()] = taps;
    assert.deepEqual(filter, { service: "default/web" });
    const record = sampleRecord();
    onRequest({ record, headers: { accept: "*/*" }, lost: 2 });
    assert.deepEqual(await next(), {
      kind: "request",
      record,
      headers: { accept: "*/*" },
      lost: 2,
    });
    socket.destroy();
    while (taps.size > 0) await new Promise((resolve) => setImmediate(resolve));
  }));

test("`identity` answers with what the part that proves identities tells", () =>
  withServer(
    async ({ ask }) => {
      const { socket, next } = ask('{"verb":"identity"}\n{"verb":"identity","peers":true}');
      for (const peers of [false, true]) {
        assert.deepEqual(await next(), { kind: "identity", report: { asked: { peers } } });
      }
      socket.destroy();
    },
    { identity: { describe: ({ peers }) => ({ asked: { peers } }) } },
  ));

test("`identity` is refused where identities are off", () =>
  withServer(async ({ ask }) => {
    const { socket, next } = ask('{"verb":"identity"}');
    const { kind, message } = (await next()) as { kind: string; message: string };
    assert.equal(kind, "error");
    assert.match(message, /identities are off here, see --identity/);
    socket.destroy();
  }));

test("`edges` and `denials` answer with what the node remembers, where it enforces policies", async () => {
  const records = { edges: () => ["an edge"], denials: () => ["a denial"] };
  const identity = { describe: () => ({}) };
  const question = '{"verb":"edges"}\n{"verb":"denials"}';
  await withServer(
    async ({ ask }) => {
      const { socket, next } = ask(question);
      assert.deepEqual(await next(), { kind: "policy", report: ["an edge"] });
      assert.deepEqual(await next(), { kind: "policy", report: ["a denial"] });
      socket.destroy();
    },
    { identity: { ...identity, records } },
  );
  await withServer(
    async ({ ask }) => {
      const { socket, next } = ask(question);
      const { message } = (await next()) as { message: string };
      assert.match(message, /policies are not enforced here, see --network-policy/);
      socket.destroy();
    },
    { identity },
  );
});

test("what cannot be read is answered with what is wrong", () =>
  withServer(async ({ ask }) => {
    for (const [line, message] of [
      ["nonsense", /one JSON object/],
      ['{"verb":"stop"}', /Cannot do "stop"/],
      ['{"verb":"tap","filter":{"header":"x"}}', /Cannot filter by "header"/],
      ['{"verb":"tap","filter":{"status":"600"}}', /status "600"/],
    ] as const) {
      const { socket, next } = ask(line);
      const answer = (await next()) as { kind: string; message: string };
      assert.equal(answer.kind, "error");
      assert.match(answer.message, message);
      socket.destroy();
    }
  }));
