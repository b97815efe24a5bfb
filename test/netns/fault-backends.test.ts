// Backends that fail, come back and go (F54), metrics under a flood of names (F51), a control
// process that is blocked (F26).

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { caseBackend, caseRoute } from "./case-route.ts";
import type { BackendMode } from "./fault-backend-protocol.ts";
import type { HonestReport } from "./fault-client-protocol.ts";
import { FaultRig, measured, SOAK } from "./fault-rig.ts";
import { until } from "./served-node.ts";

const WEB = 1;
const PODS = ["pod-1-2", "pod-2-1", "pod-2-2"];
/** A failing endpoint is left out for so long. */
const EJECTED_MS = 10_000;
const BLOCKED_MS = 2_000;
const RETRY_SHARE = 0.2;
/** Of the ten seconds before, which the budget counts too; and where it is short of a request. */
const EARLIER = 350;
const NAMES = SOAK ? 100_000 : 10_000;
const RETRY = { codes: [503], attempts: 3, backoff: "10ms" };

describe("backends of the L7 lane that fail", () => {
  let rig: FaultRig;
  before(async () => {
    rig = await FaultRig.build({
      podsPerNode: 2,
      backends: Object.fromEntries(PODS.map((pod) => [pod, "http1" as const])),
    });
    await serve(PODS);
    await rig.start(WEB);
  });
  after(() => rig[Symbol.asyncDispose]());

  /** With a route that tries failed requests again: what multiplies load if nothing stops it. */
  function serve(pods: readonly string[]): Promise<void> {
    const rule = {
      backendRefs: [caseBackend(WEB)],
      retry: RETRY,
      timeouts: { request: "2s" },
    };
    return rig.put({ [WEB]: { pods } }, [caseRoute(WEB, { rules: [rule] })]);
  }

  async function all(mode: BackendMode): Promise<void> {
    for (const pod of PODS) await rig.backend(pod).call("mode", { mode });
  }

  /** Requests that backends have seen since they were reset. */
  async function seen(): Promise<number> {
    const counts = await Promise.all(PODS.map((pod) => rig.backend(pod).call("counts", {})));
    return counts.reduce((sum, { requests }) => sum + requests, 0);
  }

  async function resetCounts(): Promise<void> {
    for (const pod of PODS) await rig.backend(pod).call("reset", {});
  }

  async function sum(series: string): Promise<number> {
    const lines = (await rig.metrics()).split("\n").filter((line) => line.startsWith(series));
    return lines.reduce((total, line) => total + Number(line.split(" ").at(-1)), 0);
  }

  for (const mode of ["fail", "refuse", "hang"] as const) {
    test(`all backends ${mode}: retries stay below 1.2 times the traffic, and they recover (F54)`, async () => {
      await until("a good start", async () => (await quick()).ok === 20, 30_000);
      await all(mode);
      await resetCounts();
      const retriesBefore = await retries();
      const down = await rig.honest("client", WEB, {
        durationMs: 5_000,
        ratePerSecond: mode === "hang" ? 15 : 200,
      });
      await delay(1_200);
      const tried = (await retries()) - retriesBefore;
      const requests = await seen();
      await all("ok");
      const backMs = await until("recovery", async () => (await quick()).ok === 20, 20_000);
      const after = await rig.honest("client", WEB, { durationMs: 2_000 });
      measured(mode, { down, requests, tried, backMs });
      assert.equal(down.ok, 0);
      const most = RETRY_SHARE * (down.started + EARLIER);
      assert(tried <= most, `${tried} of ${most}`);
      assert(requests <= down.started + most, `${requests} of ${down.started}`);
      // All were left out together: that is ignored, so who returns is asked at once.
      assert(backMs < EJECTED_MS / 2, `${backMs} ms`);
      assert.deepEqual(after.failures, {});
    });
  }

  function quick(): Promise<HonestReport> {
    return rig.honest("client", WEB, { durationMs: 200, timeoutMs: 500 });
  }

  function retries(): Promise<number> {
    return sum("innermesh_request_retries_total");
  }

  test("one that fails is left out, costs others nothing, and returns (F54)", async () => {
    await delay(1_000);
    const [bad = ""] = PODS;
    await rig.backend(bad).call("mode", { mode: "fail" });
    const during = await rig.honest("client", WEB, { durationMs: 3_000 });
    assert.deepEqual(during.failures, {}, "what failed was tried again elsewhere");
    // One that fails looks slow and gets few requests: five failures in a row take their time.
    const ejected = async (): Promise<boolean> => {
      await quick();
      return (await sum("innermesh_endpoints_ejected")) > 0;
    };
    await until("the ejection", ejected, 20_000);
    await rig.backend(bad).call("reset", {});
    await rig.honest("client", WEB, { durationMs: 1_000 });
    const left = await rig.backend(bad).call("counts", {});
    await rig.backend(bad).call("mode", { mode: "ok" });
    const returned = async (): Promise<boolean> => {
      await quick();
      return (await rig.backend(bad).call("counts", {})).requests > left.requests;
    };
    const backMs = await until("its return", returned, 4 * EJECTED_MS);
    measured("ejection", { during, requestsWhileOut: left.requests, backMs });
    assert(left.requests <= 10, `${left.requests} requests while it was left out`);
  });

  test("endpoints that are removed answer what they were asked; later requests go elsewhere", async () => {
    await until(
      "all to be back",
      async () => (await sum("innermesh_endpoints_ejected")) === 0,
      40_000,
    );
    const slow = rig.honest("client", WEB, {
      durationMs: 1_000,
      ratePerSecond: 50,
      path: "/slow?ms=1500&n={n}",
    });
    await delay(700);
    const [gone = "", ...kept] = PODS;
    await serve(kept);
    const report = await slow;
    await rig.backend(gone).call("reset", {});
    const after = await rig.honest("client", WEB, { durationMs: 1_000 });
    const { requests, connections } = await rig.backend(gone).call("counts", {});
    await serve(PODS);
    measured("removal", { report, requests, connections });
    assert.deepEqual(report.failures, {});
    assert.deepEqual(after.failures, {});
    assert.equal(requests, 0);
    assert.equal(connections, 0, "idle connections to it were closed");
  });

  test(`${NAMES} hosts and paths add no series (F51, T23)`, async () => {
    await rig.honest("pod-1-1", WEB, { durationMs: 500 });
    await delay(1_500);
    const names = async (): Promise<number> => (await rig.metrics()).split("\n").length;
    const before = await names();
    const perConnection = 1_000;
    for (let round = 0; round < NAMES / perConnection; round++) {
      const bytes = Array.from({ length: perConnection }, (_, i) => {
        const name = `n${round * perConnection + i}`;
        const last = i === perConnection - 1 ? "Connection: close\r\n" : "";
        return `GET /${name}?${name} HTTP/1.1\r\nHost: ${name}.example\r\n${last}\r\n`;
      }).join("");
      const request = { ...rig.target(WEB), writes: [{ bytes }], forMs: 20_000 };
      const { end, received } = await rig.client("pod-1-1").call("exchange", request);
      assert.equal(end, "fin", received.slice(-300));
    }
    await delay(1_500);
    const after = await names();
    measured("series", { before, after });
    assert.equal(after, before);
  });

  test("a control process that is blocked for 2 s: requests do not notice (F26)", async () => {
    const calm = await rig.honest("client", WEB, { durationMs: 2_500 });
    const { pid } = rig.served.agent;
    const during = rig.honest("client", WEB, { durationMs: 2_500 });
    await delay(200);
    process.kill(pid, "SIGSTOP");
    await delay(BLOCKED_MS);
    process.kill(pid, "SIGCONT");
    const blocked = await during;
    const after = await rig.honest("client", WEB, { durationMs: 1_000 });
    measured("blocked control process", { calmMs: calm.p99Ms, blockedMs: blocked.p99Ms });
    for (const report of [calm, blocked, after]) assert.deepEqual(report.failures, {});
    assert(
      blocked.p99Ms <= Math.max(2 * calm.p99Ms, BLOCKED_MS / 4),
      `${calm.p99Ms} → ${blocked.p99Ms}`,
    );
  });
});
