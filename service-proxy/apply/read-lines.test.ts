import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { readLines } from "./read-lines.ts";

test("lines are read however they are cut; of what a dead process left nothing is", async () => {
  const socket = new PassThrough();
  const lines: string[] = [];
  readLines(socket, (line) => lines.push(line));
  for (const part of ['{"a":', "1}\n{}", "\n", '{"kind":"be']) socket.write(part);
  socket.end();
  await once(socket, "end");
  assert.deepEqual(lines, ['{"a":1}', "{}"]);
});

test("an error of the socket ends in its close", async () => {
  const socket = new PassThrough();
  readLines(socket, () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.destroy(new Error("EPIPE"));
  await closed;
});
