// A network that loses 5 % of all frames, doubles 5 % and mixes up 5 %, to clients and to endpoints
// (F32): what is carried stays whole, and nothing is done twice.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { spoilLeg } from "./bad-leg.ts";
import { caseBackend, caseRoute } from "./case-route.ts";
import { FaultRig, measured } from "./fault-rig.ts";
import { until } from "./served-node.ts";

const BYTES = 1;
const WEB = 2;
const PODS = ["pod-2-1", "pod-2-2"];
const BODY_BYTES = 60_000;
/** What the kernel of a client counts; each must have happened. */
const COUNTERS = ["TCPOFOQueue", "TCPDSACKOldSent", "TCPLostRetransmit"] as const;

describe("a bad network around the lanes", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 2,
      backends: Object.fromEntries(PODS.map((pod) => [pod, "http1" as const])),
    });
    const retry = { codes: [503], attempts: 3, backoff: "10ms" };
    const route = caseRoute(WEB, { rules: [{ backendRefs: [caseBackend(WEB)], retry }] });
    await rig.put({ [BYTES]: { pods: PODS, lane: "l4" }, [WEB]: { pods: PODS } }, [route]);
    await rig.start(WEB);
    for (const host of ["client", "node-2"]) await spoilLeg(rig.served.playground, host);
    const passes = async (): Promise<boolean> =>
      (await rig.honest("client", WEB, { durationMs: 100, timeoutMs: 30_000 })).ok > 0;
    await until("an answer over the bad legs", passes);
  });
  after(() => rig[Symbol.asyncDispose]());

  for (const [lane, number, protocol] of [
    ["l4", BYTES, "http1"],
    ["l7", WEB, "http1"],
    ["l7", WEB, "http2"],
  ] as const) {
    test(`${lane}, ${protocol}: bodies arrive as they were sent, both ways; no POST twice`, async () => {
      for (const pod of PODS) await rig.backend(pod).call("reset", {});
      const report = await rig.honest("client", number, {
        durationMs: 4_000,
        ratePerSecond: 40,
        method: "POST",
        path: "/echo?n={n}",
        bodyBytes: BODY_BYTES,
        protocol,
        timeoutMs: 60_000,
      });
      const times = new Map<string, number>();
      for (const pod of PODS) {
        const { keys } = await rig.backend(pod).call("counts", {});
        for (const [key, count] of Object.entries(keys)) {
          times.set(key, (times.get(key) ?? 0) + count);
        }
      }
      measured(`${lane}, ${protocol}`, { ...report, keys: times.size });
      assert.deepEqual(report.failures, {});
      assert.equal(times.size, report.started);
      assert.deepEqual(
        [...times].filter(([, count]) => count > 1),
        [],
      );
    });
  }

  test("the network was bad indeed", async () => {
    for (const host of [rig.host("client"), rig.host("pod-2-1")]) {
      const argv = ["cat", "/proc/net/netstat"];
      const { stdout } = await rig.served.playground.exec(host.netns, argv);
      const [names = [], values = []] = stdout.split("\n").map((line) => line.split(" "));
      const counts = COUNTERS.map((name) => [name, Number(values[names.indexOf(name)])] as const);
      measured(host.name, Object.fromEntries(counts));
      for (const [name, count] of counts) assert(count > 0, name);
    }
  });
});
