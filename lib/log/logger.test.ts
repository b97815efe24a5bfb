import assert from "node:assert/strict";
import { test } from "node:test";
import { levelOfVerbosity, type LogFormat, type LogLevel, makeLogger } from "./logger.ts";

function capture(format: LogFormat, level: LogLevel = "info") {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { log: makeLogger({ level, format, destination }), lines };
}

test("a JSON line carries time, level, message and fields, and ends in a newline", () => {
  const { log, lines } = capture("json");
  log.info("synced", { family: "IPv4", changes: 3 });
  assert.match(lines.join(), /^\{.*\}\n$/);
  const { time, ...rest } = JSON.parse(lines.join());
  assert.equal(new Date(time).toISOString(), time);
  assert.deepEqual(rest, { level: "info", message: "synced", family: "IPv4", changes: 3 });
});

test("a text line is for people: time, level, message, fields", () => {
  const { log, lines } = capture("text");
  log.warn("cannot sync", { family: "IPv4", why: "no list", items: ["a", 1] });
  assert.match(
    lines.join(),
    /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}cannot sync family=IPv4 why="no list" items=\["a",1\]\n$/,
  );
});

test("levels below the least one are not written", () => {
  const { log, lines } = capture("text", "warn");
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  assert.equal(lines.length, 2);
});

test("a field cannot replace the line's own level, time or message", () => {
  const { log, lines } = capture("json");
  log.info("true", { level: "error", message: "false", time: 0 });
  const { level, message, field_level, field_message, field_time } = JSON.parse(lines.join());
  assert.deepEqual([level, message], ["info", "true"]);
  assert.deepEqual([field_level, field_message, field_time], ["error", "false", 0]);
});

test("a value cannot forge a line or drive the terminal", () => {
  const { log, lines } = capture("text");
  log.info("a\nb\u001b[31m", { x: "c\nd" });
  assert.equal(lines.join("").split("\n").length, 2);
  assert.match(lines.join(), /a\\u000ab\\u001b\[31m x="c\\nd"\n$/);
});

test("errors are told with code and causes", () => {
  const { log, lines } = capture("json");
  const cause = Object.assign(new Error("connection refused"), { code: "ECONNREFUSED" });
  log.error("no list", { error: new TypeError("fetch failed", { cause }) });
  assert.deepEqual(JSON.parse(lines.join()).error, {
    name: "TypeError",
    message: "fetch failed",
    cause: { name: "Error", message: "connection refused", code: "ECONNREFUSED" },
  });
});

test("no secret reaches the stream, in either format", () => {
  for (const format of ["json", "text"] as const) {
    const { log, lines } = capture(format);
    log.info("header Authorization: Bearer s3cret-token-value", { token: "s3cret" });
    log.info("request", { headers: { authorization: "s3cret" }, list: [{ password: "s3cret" }] });
    assert.ok(!lines.join("").includes("s3cret"), format);
  }
});

test("klog verbosity 4 and more means debug", () => {
  assert.deepEqual([0, 2, 3, 4, 10].map(levelOfVerbosity), [
    "info",
    "info",
    "info",
    "debug",
    "debug",
  ]);
});
