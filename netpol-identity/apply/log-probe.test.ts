import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError } from "../../lib/nft/objects.ts";
import { logRefusal } from "./log-probe.ts";

test("a kernel is asked for rules that log, and nothing of it stays", async () => {
  const kernel = makeFakeKernel();
  assert.equal(await logRefusal(kernel), undefined);
  assert.equal(kernel.table("ip", "innermesh-log-probe"), undefined);
});

test("one that refuses them says why; what is no refusal is thrown", async () => {
  const kernel = makeFakeKernel();
  kernel.onCommit = () => {
    throw new NftError("commit", "ENOENT");
  };
  assert.equal(await logRefusal(kernel), "ENOENT");
  kernel.onCommit = () => {
    throw new TypeError("a bug");
  };
  await assert.rejects(logRefusal(kernel), TypeError);
});
