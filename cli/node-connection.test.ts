// `top` and `tap` against the node's own socket server.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { serveAdmin } from "../service-proxy/apply/admin-server.ts";
import { ProxyStats } from "../service-proxy/apply/proxy-stats.ts";
import { sampleRecord } from "../service-proxy/model/sample-record.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { connectNode } from "./node-connection.ts";
import { runTap } from "./tap.ts";

const NO_FILTER = {
  service: undefined,
  route: undefined,
  source: undefined,
  method: undefined,
  path: undefined,
  status: undefined,
};

test("top and tap speak with the node's process over its socket", async () => {
  const folder = mkdtempSync(join(tmpdir(), "im-cli-"));
  const socket = join(folder, "node.sock");
  const stop = new AbortController();
  const tapped = { record: sampleRecord({ path: "/\u001b[2J" }), headers: {}, lost: 0 };
  const served = serveAdmin(
    socket,
    {
      stats: new ProxyStats(),
      openTap: (_, onRequest) => {
        setImmediate(() => [1, 2, 3].forEach(() => onRequest(tapped)));
        return () => undefined;
      },
      refresh: () => Promise.resolve(),
      monotonicMs: () => 5,
    },
    stop.signal,
  );
  await new Promise((resolve) => setImmediate(resolve));
  try {
    const node = await connectNode(socket);
    node.ask({ verb: "top" });
    const answer = await node.next();
    assert.ok(answer.kind === "top" && answer.atMs === 5);
    node.close();
    const out = new PassThrough();
    await runTap({ ...NO_FILTER, socket, count: 2, output: "table" }, out);
    const printed = await text(out.end());
    assert.equal(printed.split("\n").length, 3);
    assert.match(printed, /^10:00:00\.000 shop → default\/web:80 10\.0\.0\.1:8080 GET /);
    assert.ok(!printed.includes("\u001b"), "a path steers no terminal");
  } finally {
    stop.abort();
    await served;
    rmSync(folder, { recursive: true });
  }
});

test("without a node's process, and with a filter that is none, there is nothing to show", async () => {
  await assert.rejects(connectNode("/nonexistent/node.sock"), Unreachable);
  const args = { ...NO_FILTER, socket: "/nonexistent/node.sock", count: 1 };
  const out = new PassThrough();
  await assert.rejects(runTap({ ...args, status: "6", output: "json" }, out), WrongUse);
});
