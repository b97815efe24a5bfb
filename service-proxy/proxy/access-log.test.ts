import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FAILURES } from "../model/edge.ts";
import { formatRequestFields, REQUEST_FIELDS } from "../model/request-record.ts";
import { sampleRecord } from "../model/sample-record.ts";
import { AccessLog, fileWriter, type WriteBytes } from "./access-log.ts";
import { formatAccessLine, redactHeaders } from "./access-log-record.ts";

test("a line has the fields of the schema in its order, and only those", () => {
  const full = sampleRecord({
    grpcStatus: 0,
    requestId: "r",
    traceparent: "t",
    flags: FAILURES,
    sourceIdentity: "spiffe://cluster.local/ns/shop/sa/web",
    endpointIdentity: "spiffe://cluster.local/ns/shop/sa/db",
    carrier: "tunnel",
    rule: "NetworkPolicy shop/db ingress[0]",
  });
  const line = formatAccessLine(Object.assign(full, { authorization: "Bearer secret" }));
  const names = Object.keys(JSON.parse(line) as object);
  assert.deepEqual(names, Object.keys(REQUEST_FIELDS));
  assert.ok(line.endsWith("}\n") && !line.slice(0, -1).includes("\n"));
  for (const name of names) assert.ok(formatRequestFields().includes(`| \`${name}\` |`));
});

test("no query, no token and nothing endless stands in a line", () => {
  const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
  const line = formatAccessLine(sampleRecord({ path: `/login/${token}?password=hunter2` }));
  assert.ok(!line.includes("hunter2") && !line.includes(token));
  const long = "\u00e9".repeat(100_000);
  const strange = { path: `/${long}`, authority: long, requestId: long, traceparent: long };
  const longest = formatAccessLine(sampleRecord(strange));
  assert.ok(Buffer.byteLength(longest) < 4_096, `${Buffer.byteLength(longest)}`);
});

test("headers that may be secrets are blotted out, others are shown", () => {
  const names = ["authorization", "cookie", "x-api-key", "x-session-id", "x-auth-request-email"];
  const fields = [...names, "x-forwarded-client-cert"].flatMap((name) => [name, "s3cret"]);
  const shown = redactHeaders([...fields, "x-version", "canary", "x-note", "Bearer abcdefghijkl"]);
  assert.ok(!JSON.stringify(shown).includes("s3cret"));
  assert.equal(shown["x-version"], "canary");
  assert.equal(shown["x-note"], "Bearer [redacted]");
});

test("lines come whole and in order into a file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "im-log-"));
  const path = join(folder, "access.log");
  const fd = openSync(path, "a");
  const log = new AccessLog(1, fileWriter(fd));
  for (let i = 0; i < 500; i++) log.add(sampleRecord({ path: `/${i}` }));
  await log.flushed();
  closeSync(fd);
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { path: string }).path),
    Array.from({ length: 500 }, (_, i) => `/${i}`),
  );
  assert.equal(log.takeLost(), 0);
  rmSync(folder, { recursive: true });
});

test("when nobody takes the lines, they are dropped and counted; no chunk mixes with another", async () => {
  const waiting: { readonly bytes: Uint8Array; readonly done: Parameters<WriteBytes>[1] }[] = [];
  const log = new AccessLog(1, (bytes, done) => void waiting.push({ bytes, done }));
  for (let i = 0; i < 20_000; i++) log.add(sampleRecord());
  await new Promise((resolve) => setImmediate(resolve));
  const lost = log.takeLost();
  assert.ok(lost > 10_000 && lost < 20_000, `${lost}`);
  assert.equal(log.takeLost(), 0);
  let lines = 0;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    assert.ok(next.bytes.length <= 4_096);
    lines += Buffer.from(next.bytes).toString().split("\n").length - 1;
    next.done(null, next.bytes.length);
  }
  assert.equal(lines + lost, 20_000);
});

test("a short write goes on where it stopped; a failed one costs its lines only", async () => {
  const texts: string[] = [];
  let calls = 0;
  const log = new AccessLog(1, (bytes, done) => {
    calls++;
    if (calls === 1) return done(Object.assign(new Error("gone"), { code: "EIO" }), 0);
    texts.push(Buffer.from(bytes.subarray(0, 100)).toString());
    done(null, Math.min(100, bytes.length));
  });
  log.add(sampleRecord({ path: "/first" }));
  await log.flushed();
  log.add(sampleRecord({ path: "/second" }));
  await log.flushed();
  assert.equal(log.takeLost(), 1);
  assert.equal(texts.join(""), formatAccessLine(sampleRecord({ path: "/second" })));
});

test("the share of requests is by chance", () => {
  const log = new AccessLog(0.25, () => undefined);
  assert.deepEqual(
    [0, 0.24, 0.25, 0.9].map((random) => log.wants(random)),
    [true, true, false, false],
  );
  assert.equal(new AccessLog(0, () => undefined).wants(0), false);
});
