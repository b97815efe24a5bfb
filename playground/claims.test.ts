import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { Claims } from "./claims.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "claims-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a prefix has one owner at a time", () => {
  const claims = new Claims(directory);
  assert(claims.claimPrefix("im-a"));
  assert(!claims.claimPrefix("im-a"));
  assert(claims.ownerIsAlive("im-a"));
  assert.deepEqual(claims.prefixes(), ["im-a"]);
  claims.release("im-a");
  assert.deepEqual(claims.prefixes(), []);
  assert(claims.claimPrefix("im-a"));
});

test("an owner is dead when its process is, or when another took its process id", () => {
  symlinkSync("4194305:1", join(directory, "im-gone")); // Above the kernel's highest process id.
  symlinkSync(`${process.pid}:1`, join(directory, "im-other"));
  const claims = new Claims(directory);
  assert(!claims.ownerIsAlive("im-gone"));
  assert(!claims.ownerIsAlive("im-other"));
  assert(!claims.ownerIsAlive("im-unknown"));
});

test("subnets are handed out once, and given back with their prefix only", () => {
  const claims = new Claims(directory);
  const [a, b] = [claims.claimSubnet("im-a", new Set([0])), claims.claimSubnet("im-b", new Set())];
  assert.deepEqual([a, b], [1, 0]);
  claims.release("im-b");
  assert.equal(claims.claimSubnet("im-c", new Set()), 0);
  assert.equal(claims.claimSubnet("im-d", new Set()), 2);
});

test("running out of subnets is an error that names the playground", () => {
  const all = new Set(Array.from({ length: 256 }, (_, index) => index));
  const claim = () => new Claims(directory).claimSubnet("im-late", all);
  assert.throws(claim, { code: "no-free-subnet", message: /im-late/ });
});
