// HTTPRoutes that change or go while requests are under way, and what no route is for.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { valueOf } from "./http-backend-log.ts";
import { HTTP1_PORT } from "./http-backend-protocol.ts";
import { VAULT_GRANT } from "./http-manifests.ts";
import { type NamedStage, NamedStages } from "./http-named-stages.ts";
import { countPods, FRONT_POD, seenBy, V1_POD, V2_POD, V3_POD } from "./http-rig.ts";
import { path, rule, weighted } from "./http-route-rules.ts";
import { until } from "./served-node.ts";

/** Three times what is promised: the machine may be busy. */
const PROMPT_MS = 6_000;

const STAGES = {
  live: { rules: [weighted(["v1", 1], ["v2", 1])] },
  granted: { rules: [{ backendRefs: [{ name: "safe", namespace: "vault", port: 80 }] }] },
  bypass: {
    rules: [
      rule(undefined, "v1", {
        filters: [
          {
            type: "ResponseHeaderModifier",
            responseHeaderModifier: { set: [{ name: "x-routed", value: "yes" }] },
          },
        ],
      }),
    ],
  },
  passing: { rules: [rule(path("/a"), "v1")] },
} satisfies Record<string, NamedStage>;

describe("HTTPRoutes on Services, changing", () => {
  let stages: NamedStages<keyof typeof STAGES>;
  before(async () => {
    stages = await NamedStages.build(STAGES);
  });
  after(() => stages[Symbol.asyncDispose]());

  test("weights change under load, and no request fails", async () => {
    let changes = 0;
    let isOver = false;
    const load = stages.rig
      .callMany(stages.at("live"), { count: 2_000, parallel: 4, reuse: true })
      .finally(() => (isOver = true));
    for (const weights of [
      [1, 0],
      [0, 1],
      [3, 1],
      [1, 1],
      [0, 1],
    ] as const) {
      const [v1, v2] = weights;
      await stages.change("live", [weighted(["v1", v1], ["v2", v2])]);
      changes++;
      const [wanted, other] = v1 === 0 ? [V2_POD, V1_POD] : [V1_POD, V2_POD];
      await until(`weights ${v1}:${v2}`, async () => {
        const counts = countPods(
          await stages.rig.callMany(stages.at("live"), { count: 10, parallel: 8, reuse: true }),
        );
        return v1 * v2 === 0 ? counts[wanted] === 10 : (counts[other] ?? 0) > 0;
      });
      if (isOver) break;
    }
    const { [V1_POD]: v1 = 0, [V2_POD]: v2 = 0, ...others } = countPods(await load);
    assert.deepEqual(others, {});
    assert(changes >= 2 && v1 > 0 && v2 > 0, `${changes} changes, ${v1} and ${v2}`);
  });

  test("a grant that goes is obeyed within two seconds, and one that comes", async () => {
    assert.equal(seenBy(await stages.rig.answer(stages.at("granted"))).pod, V3_POD);
    const is = (status: number) => async (): Promise<boolean> =>
      (await stages.rig.answer(stages.at("granted"))).status === status;
    await stages.rig.remove("grant");
    await until("the grant gone", is(500), PROMPT_MS);
    await stages.rig.put("grant", [VAULT_GRANT]);
    await until("the grant back", is(200), PROMPT_MS);
  });

  test("a pod that is called by its own address is no Service: no route", async () => {
    const routed = await stages.rig.answer(stages.at("bypass"));
    assert.equal(valueOf(routed.fields, "x-routed"), "yes");
    const { ip: address } = stages.rig.pod(V1_POD).addresses;
    const direct = await stages.rig.answer({ address, port: HTTP1_PORT });
    assert.equal(valueOf(direct.fields, "x-routed"), "");
    assert.equal(valueOf(seenBy(direct).fields, "x-request-id"), "");
  });

  test("the last route goes under load: the Service's own pods answer, no request fails", async () => {
    const load = stages.rig.callMany(stages.at("passing", "/a"), {
      count: 600,
      parallel: 4,
      reuse: false,
    });
    await stages.change("passing", []);
    await until("the route gone", async () => {
      return seenBy(await stages.rig.answer(stages.at("passing", "/a"))).pod === FRONT_POD;
    });
    const { [V1_POD]: _v1, [FRONT_POD]: _front, ...others } = countPods(await load);
    assert.deepEqual(others, {});
  });
});
