// Other tables on the same node: a policy engine or a firewall of the admin's. They judge packets
// after ours have chosen the endpoint, and what they drop stays dropped.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { FAMILIES, ServedNode } from "./served-node.ts";

describe("a stranger's table", () => {
  let rig: ServedNode;
  before(async () => {
    rig = await ServedNode.build();
    await rig.serve({ number: 1, pods: ["pod-2-1"] });
    await rig.start();
  });
  after(() => rig[Symbol.asyncDispose]());

  test("a table that drops wins, and sees the endpoint's own address", async () => {
    for (const family of FAMILIES) {
      const { address, port } = rig.address("cluster", 1, family);
      const probe = rig.probe("pod-1-1");
      assert.equal((await probe.tcp(address, port)).kind, "reply");
      const pod = rig.playground.pod(2, 1).addresses[family];
      const hook = "{ type filter hook forward priority 10; }";
      await rig.run("nft", `add table ${family} stranger; add chain ${family} stranger c ${hook}`);
      const drop = `${family} daddr ${pod} tcp dport 9090 counter drop`;
      await rig.run("nft", `add rule ${family} stranger c ${drop}`);
      assert.equal((await probe.tcp(address, port, { timeoutMs: 500 })).kind, "timeout");
      assert.match(await rig.run("nft", `list table ${family} stranger`), /packets [1-9]/);
      await rig.run("nft", `delete table ${family} stranger`);
      assert.equal((await probe.tcp(address, port)).kind, "reply");
    }
  });
});
