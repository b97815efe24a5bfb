import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError } from "../../lib/nft/objects.ts";
import { BOOT_TABLE, BootGuard, RETRY_MS } from "./boot-guard.ts";

const log = makeLogger({ level: "error", format: "json", destination: { write: () => {} } });
const clock = makeFakeClock();
const { signal } = new AbortController();

test("both tables go, once, and none is made where there was none", async () => {
  const kernel = makeFakeKernel();
  await kernel.commit([{ family: "ip", table: BOOT_TABLE, changes: [{ kind: "add-table" }] }]);
  const guard = new BootGuard({ kernel, clock, log });
  await guard.lift(signal);
  assert.equal(await kernel.read("ip", BOOT_TABLE), undefined);
  assert.equal(await kernel.read("ip6", BOOT_TABLE), undefined);
  const generation = await kernel.generation();
  await guard.lift(signal);
  assert.equal(await kernel.generation(), generation);
});

test("what the kernel refused is tried again", async () => {
  const kernel = makeFakeKernel();
  let refusals = 1;
  const commit: typeof kernel.commit = async (transactions) => {
    if (refusals-- > 0) throw new NftError("delete a table", "EBUSY");
    return kernel.commit(transactions);
  };
  await kernel.commit([{ family: "ip", table: BOOT_TABLE, changes: [{ kind: "add-table" }] }]);
  const lifted = new BootGuard({ kernel: { commit }, clock, log }).lift(signal);
  await clock.advance(0);
  assert.notEqual(await kernel.read("ip", BOOT_TABLE), undefined);
  await clock.advance(RETRY_MS);
  await lifted;
  assert.equal(await kernel.read("ip", BOOT_TABLE), undefined);
});
