// An address that a pod leaves to another carries nothing over (F15): not before anybody has told
// of the change, nor while it is told. INNERMESH_SOAK=1 runs a thousand cycles.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openProbe } from "../../playground/probe.ts";
import { APPLICATION_PORT, IdentityRig } from "./identity-rig.ts";
import { until } from "./served-node.ts";

const CYCLES = process.env["INNERMESH_SOAK"] === "1" ? 1_000 : 50;
const NUMBER = 3;

for (const cni of ["routed", "bridge"] as const) {
  test(`${cni}: ${CYCLES} pods in a row have one address, and none is taken for the last`, async () => {
    await using rig = await IdentityRig.build(cni, { "pod-2-1": "strict" });
    const { served } = rig;
    const name = `pod-1-${NUMBER}`;
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      const pod = await served.playground.addPod(served.node, NUMBER);
      const reaches = async (): Promise<boolean> => {
        await using probe = openProbe(served.playground, pod.netns);
        const result = await probe.tcp(rig.pod("pod-2-2").addresses.ip, APPLICATION_PORT);
        return result.kind === "reply";
      };
      if (cycle > 1) {
        // Nobody has said yet that the last one is gone: this one is not heard in its name, neither
        // before the agent has heard of the links nor after.
        if (cycle % 10 === 0) assert.equal(await reaches(), false);
        await until("nothing is bound to the link that went", async () => {
          const { bindings } = await rig.hold({ "pod-2-1": "strict", [name]: "strict" });
          return bindings.every(({ uid }) => uid !== `${name}-${cycle - 1}`);
        });
        if (cycle % 10 === 0) assert.equal(await reaches(), false);
      }
      rig.uids.set(name, `${name}-${cycle}`);
      const { bindings } = await rig.hold({ "pod-2-1": "strict", [name]: "strict" });
      const own = bindings.filter(({ uid }) => uid === `${name}-${cycle}`);
      assert.equal(own.length, 2, `cycle ${cycle}`);
      if (cycle % 10 === 0) await until("the pod's own voice", reaches);
      await served.playground.removePod(pod);
    }
  });
}
