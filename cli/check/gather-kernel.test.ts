import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError } from "../../lib/nft/objects.ts";
import { parseNodeFlags } from "../../service-proxy/config/node-flags.ts";
import { known, unknown } from "./facts.ts";
import { gatherKernel } from "./gather-kernel.ts";

const { settings } = parseNodeFlags([], () => assert.fail("no file is named"));

test("a kernel that takes everything is asked twice a family and left as it was", async () => {
  const kernel = makeFakeKernel();
  let commits = 0;
  kernel.onCommit = () => {
    commits++;
  };
  const facts = await gatherKernel(known(kernel), settings, ["ip", "ip6"]);
  assert.deepEqual(facts.refused, known([]));
  assert.deepEqual(facts.refusedLane, known([]));
  assert.equal(commits, 4, "for Services, and for proxy lanes");
  for (const family of ["ip", "ip6"] as const) {
    assert.equal(await kernel.read(family, "innermesh-check"), undefined);
  }
});

test("where the whole is refused, each part is tried and the refused one named", async () => {
  const kernel = makeFakeKernel();
  kernel.onCommit = (ordinal) => {
    if (ordinal === 1 || ordinal === 3) throw new NftError("commit", "EOPNOTSUPP");
  };
  const { refused } = await gatherKernel(known(kernel), settings, ["ip"]);
  const part = "prefixes in concatenated sets";
  assert.deepEqual(refused, known([{ family: "ip", part, why: "EOPNOTSUPP" }]));
});

test("where no single part is to blame, the whole is named", async () => {
  const kernel = makeFakeKernel();
  kernel.onCommit = (ordinal) => {
    if (ordinal === 1) throw new NftError("commit", "ENOMEM");
  };
  const { refused } = await gatherKernel(known(kernel), settings, ["ip"]);
  const part = "the ruleset as a whole";
  assert.deepEqual(refused, known([{ family: "ip", part, why: "ENOMEM" }]));
});

test("a kernel that does not answer is unknown in everything it would tell", async () => {
  const facts = await gatherKernel(unknown("EPERM"), settings, ["ip"]);
  assert.deepEqual([facts.generation, facts.refused], [unknown("EPERM"), unknown("EPERM")]);
});

test("a kernel without transparent proxying lacks it for lanes alone", async () => {
  const kernel = makeFakeKernel();
  kernel.onCommit = (ordinal) => {
    // The second is the whole of the lanes' table, the third its first part.
    if (ordinal === 2 || ordinal === 3) throw new NftError("commit", "ENOENT");
  };
  const facts = await gatherKernel(known(kernel), settings, ["ip6"]);
  assert.deepEqual(facts.refused, known([]));
  const part = "transparent proxying";
  assert.deepEqual(facts.refusedLane, known([{ family: "ip6", part, why: "ENOENT" }]));
});
