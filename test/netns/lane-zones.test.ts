// Zone hints in the proxy lanes: endpoints of the node's own zone are taken while they have room and
// enough of them are in service; then the others are, and no longer than that.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { CaseEndpoint } from "../../service-proxy/plan/packet-cases.ts";
import type { BackendMode } from "./fault-backend-protocol.ts";
import { FaultRig, measured } from "./fault-rig.ts";
import { until } from "./served-node.ts";

const SERVICES = { l4: 1, l7: 2 } as const;
/** In the zone of node-1, which serves, and in the other one. */
const NEAR = ["pod-1-2", "pod-2-1"];
const FAR = ["pod-1-3", "pod-2-2"];
/** So many under way at an endpoint of the zone, and the next may leave it. */
const ROOM = 100;
const HELD = 6 * ROOM;
/** As long as an endpoint that failed again and again may be left out here. */
const RETURNS_WITHIN_MS = 90_000;

describe("zones in the proxy lanes", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 3,
      backends: Object.fromEntries([...NEAR, ...FAR].map((pod) => [pod, "http1" as const])),
    });
    const pods: CaseEndpoint[] = [
      ...NEAR.map((pod) => ({ pod, zones: ["zone-a"] })),
      ...FAR.map((pod) => ({ pod, zones: ["zone-b"] })),
    ];
    await rig.put({ [SERVICES.l4]: { pods, lane: "l4" }, [SERVICES.l7]: { pods } });
    await rig.start(SERVICES.l7);
  });
  after(() => rig[Symbol.asyncDispose]());

  async function set(pods: readonly string[], mode: BackendMode): Promise<void> {
    for (const pod of pods) await rig.backend(pod).call("mode", { mode });
  }

  async function sum(pods: readonly string[], what: "requests" | "inFlight"): Promise<number> {
    const counts = await Promise.all(pods.map((pod) => rig.backend(pod).call("counts", {})));
    return counts.reduce((total, count) => total + count[what], 0);
  }

  /** Forty connections with a request each, one after another. @returns who was asked */
  async function asked(number: number): Promise<{ near: number; far: number; failed: number }> {
    for (const pod of [...NEAR, ...FAR]) await rig.backend(pod).call("reset", {});
    let failed = 0;
    for (let i = 0; i < 40; i++) {
      const writes = [{ bytes: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" }];
      const request = { ...rig.target(number), writes, forMs: 10_000 };
      const { received } = await rig.client("pod-1-1").call("exchange", request);
      if (!received.startsWith("HTTP/1.1 200")) failed++;
    }
    return { near: await sum(NEAR, "requests"), far: await sum(FAR, "requests"), failed };
  }

  async function staysNear(number: number): Promise<void> {
    assert.deepEqual(await asked(number), { near: 40, far: 0, failed: 0 });
  }

  for (const lane of ["l4", "l7"] as const) {
    const number = SERVICES[lane];

    test(`${lane}: what the zone has no room for leaves it, and nothing else does`, async () => {
      await staysNear(number);
      await set([...NEAR, ...FAR], "hang");
      const caller = rig.client("pod-1-1");
      const { id } = await caller.call("hold", {
        ...rig.target(number),
        count: HELD,
        ratePerSecond: 500,
        first: "GET /zones HTTP/1.1\r\nHost: zones\r\n\r\n",
        drip: "",
        dripMs: 0,
        reads: true,
      });
      const all = async (): Promise<boolean> => (await sum([...NEAR, ...FAR], "inFlight")) === HELD;
      await until("all under way", all);
      const [near, far] = [await sum(NEAR, "inFlight"), await sum(FAR, "inFlight")];
      measured(`${lane} under way`, { near, far });
      assert(near >= NEAR.length * ROOM, `${near} stayed`);
      assert(far >= ROOM, `${far} left`);
      await caller.call("release", { id });
      await until("none under way", async () => (await sum(NEAR, "inFlight")) === 0);
      await set([...NEAR, ...FAR], "ok");
      await staysNear(number);
    });

    test(`${lane}: half of the zone in service is enough, none is not`, async () => {
      const [first = "", second = ""] = NEAR;
      await set([first], "refuse");
      await staysNear(number);
      await set([second], "refuse");
      await until("the others asked", async () => (await asked(number)).failed === 0);
      assert.deepEqual(await asked(number), { near: 0, far: 40, failed: 0 });
      await set(NEAR, "ok");
      const backMs = await until(
        "the zone again",
        async () => (await asked(number)).far === 0,
        RETURNS_WITHIN_MS,
      );
      measured(`${lane} back`, { backMs });
      await staysNear(number);
    });
  }
});
