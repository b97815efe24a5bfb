// Identities beside the lanes of Services, on a bridge where both lift: neither takes the other's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IdentityRig } from "./identity-rig.ts";
import { LaneRig } from "./lane-rig.ts";
import { FAMILIES, until } from "./served-node.ts";

const MODES = { "pod-1-1": "strict", "pod-2-1": "permissive" } as const;

for (const cni of ["routed", "bridge"] as const) {
  test(`${cni}: Services in a lane stay there, tunnels and direct calls have their own doors`, async () => {
    await using lanes = await LaneRig.build({ cni }, [{ number: 1, pods: ["pod-1-2"] }]);
    await lanes.move("in", 1);
    const identity = new IdentityRig(lanes.served);
    try {
      await identity.door.call("listen", {});
      await identity.hold(MODES);
      await identity.agent.call("tell", { word: "living" });
      for (const family of FAMILIES) {
        const isLifted = async () =>
          (await lanes.ask("pod-1-1", "cluster", 1, family)) === "inside";
        await until("the lane", isLifted);
        assert.equal(await lanes.ask("pod-1-2", "cluster", 1, family), "inside");
        assert.equal(await lanes.ask("client", "nodePort", 1, family), "outside");
        assert.equal(await lanes.ask("node-1", "cluster", 1, family), "outside");
        assert.equal(await identity.ask("pod-1-1", "pod-2-1", family), "direct");
        const tunnel = await identity.ask("pod-1-2", "pod-1-1", family, { port: 15_008 });
        assert.equal(tunnel, "tunnel");
        assert.equal(await identity.ask("pod-1-2", "pod-1-1", family), "timeout");
      }
    } finally {
      await identity.endHelpers();
    }
  });
}
