// The gate in front of the lanes with real packets, pods on routed veths: who may not connect hears
// nothing, at the first packet. A program of the test stands in for the proxy's worker.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Family } from "../../lib/nft/objects.ts";
import type { GateAnswer, GatedPods } from "../../service-proxy/model/lane-gate.ts";
import { LaneRig } from "./lane-rig.ts";
import { FAMILIES } from "./served-node.ts";

const SERVICES = [
  { number: 1, pods: ["pod-2-1"] },
  { number: 2, pods: ["pod-2-1"] },
  { number: 3, pods: [] },
] as const;
const NOBODY: GatedPods = { all: [], isolated: [] };
const EVERYWHERE = { ip: "0.0.0.0/0", ip6: "::/0" } as const;
const FROM = ["pod-1-1", "pod-1-2", "client", "node-1"] as const;
/** Who is let in answers in a fraction of it. */
const PATIENCE = { timeoutMs: 1_000 } as const;

describe("the gate of the lanes, routed pods", () => {
  let rig: LaneRig;
  before(async () => {
    rig = await LaneRig.build({}, SERVICES, { isGated: true });
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Services 1 and 2 in the lane, with nobody left out yet. */
  async function anew(): Promise<void> {
    await rig.install(SERVICES, { isGated: true });
    await rig.move("in", 1);
    await rig.move("in", 2);
    await rig.beat();
  }

  function podAt(index: number, family: Family): string {
    return rig.served.playground.node(1).pods[index]?.addresses[family] ?? assert.fail("no pod");
  }

  /** What comes of a connection to the ClusterIP, in a word, from each of FROM. */
  function outcomes(number: number, family: Family): Promise<readonly string[]> {
    return Promise.all(
      FROM.map(async (from) => {
        const result = await rig.try(from, "cluster", number, family, PATIENCE);
        if (result.kind === "timeout") return `silence at ${result.phase}`;
        return result.kind === "reply" ? (result.echo?.node ?? "?") : result.kind;
      }),
    );
  }

  const SILENCE = "silence at connect";

  function guard(number: number, family: Family, answer: Partial<GateAnswer>, pods = NOBODY) {
    const whole = { isGuarded: true, pods: [], blocks: [], deniesNode: false, ...answer };
    return rig.gate(number, family, { pods, answer: whole });
  }

  for (const family of FAMILIES) {
    test(`${family}: a Service that nobody is kept from is for everybody`, async () => {
      await anew();
      assert.deepEqual(await outcomes(1, family), ["inside", "inside", "outside", "outside"]);
    });

    test(`${family}: who has no leave hears nothing, and is counted`, async () => {
      await anew();
      await guard(1, family, { pods: [podAt(0, family)] });
      assert.deepEqual(await outcomes(1, family), ["inside", SILENCE, SILENCE, "outside"]);
      assert.deepEqual(await outcomes(2, family), ["inside", "inside", "outside", "outside"]);
      const counter = ["list", "counter", family, "innermesh", "lane-denied"];
      assert.match(await rig.served.run("nft", ...counter), /packets [1-9]/);
    });

    test(`${family}: a block lets strangers in, and no pod that is known`, async () => {
      await anew();
      const known = { all: [podAt(0, family)], isolated: [] };
      await guard(1, family, { blocks: [EVERYWHERE[family]] }, known);
      assert.deepEqual(await outcomes(1, family), [SILENCE, "inside", "outside", "outside"]);
    });

    test(`${family}: an isolated pod needs leave where others need none`, async () => {
      await anew();
      const pod = podAt(0, family);
      const answer = { isGuarded: false, pods: [pod] };
      await guard(1, family, answer, { all: [pod], isolated: [pod] });
      assert.deepEqual(await outcomes(1, family), ["inside", "inside", "outside", "outside"]);
      assert.deepEqual(await outcomes(2, family), [SILENCE, "inside", "outside", "outside"]);
    });

    test(`${family}: a process of the node that nobody lets in hears nothing either`, async () => {
      await anew();
      await guard(1, family, { isGuarded: false, deniesNode: true });
      assert.deepEqual(await outcomes(1, family), ["inside", "inside", "outside", SILENCE]);
      assert.deepEqual(await outcomes(2, family), ["inside", "inside", "outside", "outside"]);
    });

    test(`${family}: where nobody serves, isolated pods too are refused`, async () => {
      await anew();
      const pod = podAt(0, family);
      await guard(1, family, { isGuarded: false }, { all: [pod], isolated: [pod] });
      assert.deepEqual(await outcomes(3, family), ["refused", "refused", "refused", "refused"]);
    });
  }
});
