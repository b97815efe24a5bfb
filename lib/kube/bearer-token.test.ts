// Tokens on disk change under a running node (fault F9).

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeFakeClock } from "../clock/fake-clock.ts";
import { makeBearerToken, TOKEN_REREAD_MS } from "./bearer-token.ts";

test("a token file is read again after a minute, and at once when the server says 401", async () => {
  const folder = await mkdtemp(join(tmpdir(), "im-token-"));
  const path = join(folder, "token");
  const clock = makeFakeClock();
  const token = makeBearerToken({ kind: "file", path }, clock);
  try {
    assert.equal(await token.current(), undefined);
    await writeFile(path, "one\n");
    assert.equal(await token.refresh(), true);
    await writeFile(path, "two\n");
    assert.equal(await token.current(), "one");
    await clock.advance(TOKEN_REREAD_MS);
    assert.equal(await token.current(), "two");
    assert.equal(await token.refresh(), false);
    await rm(path);
    assert.equal(await token.refresh(), false);
    assert.equal(await token.current(), "two", "a file that is being replaced costs nothing");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("all who ask while the file is first read get its token", async () => {
  const folder = await mkdtemp(join(tmpdir(), "im-token-"));
  const path = join(folder, "token");
  try {
    await writeFile(path, "one\n");
    const token = makeBearerToken({ kind: "file", path }, makeFakeClock());
    const answers = await Promise.all([token.current(), token.current(), token.current()]);
    assert.deepEqual(answers, ["one", "one", "one"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a token from the configuration stays, and none is none", async () => {
  const clock = makeFakeClock();
  assert.equal(await makeBearerToken({ kind: "none" }, clock).current(), undefined);
  const fixed = makeBearerToken({ kind: "static", token: "t" }, clock);
  assert.equal(await fixed.current(), "t");
  assert.equal(await fixed.refresh(), false);
});
