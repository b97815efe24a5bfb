import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeFakeConntrack } from "../../lib/netlink/fake-conntrack.ts";
import type { UdpTargets } from "../model/udp-targets.ts";
import { noUdpTargets } from "../model/udp-targets.ts";
import {
  type CleanupReport,
  type ConntrackCleanerOptions,
  makeConntrackCleaner,
} from "./conntrack-cleaner.ts";

const vip = "10.96.0.10";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function serving(...endpoints: readonly string[]): UdpTargets {
  const keys = new Set(endpoints.map((address) => `${address} . 53`));
  return { ...noUdpTargets, addresses: new Map([[`${vip} . 53`, keys]]) };
}

function setUp(options: Partial<ConntrackCleanerOptions> = {}) {
  const clock = makeFakeClock();
  const table = makeFakeConntrack();
  const reports: CleanupReport[] = [];
  const errors: number[] = [];
  const cleaner = makeConntrackCleaner({
    table,
    clock,
    minimumIntervalMs: 500,
    onDone: (report) => reports.push(report),
    onError: (_, retryMs) => errors.push(retryMs),
    ...options,
  });
  const addFlow = (client: string, endpoint: string) =>
    table.add({
      family: "ip",
      protocol: 17,
      original: { source: client, destination: vip, sourcePort: 40_000, destinationPort: 53 },
      reply: { source: endpoint, destination: client, sourcePort: 53, destinationPort: 40_000 },
      zone: 0,
      replyZone: 0,
      status: 0,
    });
  const left = () => table.entries().map((entry) => entry.reply.source);
  return { clock, table, reports, errors, cleaner, addFlow, left };
}

test("a request removes stale flows, keeps the others, and reports both families", async () => {
  const { cleaner, addFlow, left, reports } = setUp();
  addFlow("10.0.0.1", "10.244.0.5");
  addFlow("10.0.0.2", "10.244.0.9");
  cleaner.request(serving("10.244.0.5"));
  await turn();
  assert.deepEqual(left(), ["10.244.0.5"]);
  assert.deepEqual(reports, [
    { family: "ip", listed: 2, removed: 1, durationMs: 0 },
    { family: "ip6", listed: 0, removed: 0, durationMs: 0 },
  ]);
  await cleaner.close();
});

test("requests that come during a run or the interval after it share one run", async () => {
  const { cleaner, addFlow, left, reports, clock } = setUp();
  cleaner.request(serving("10.244.0.5", "10.244.0.6"));
  cleaner.request(serving("10.244.0.5", "10.244.0.6", "10.244.0.7"));
  await turn();
  assert.equal(reports.length, 2);
  addFlow("10.0.0.1", "10.244.0.7");
  cleaner.request(serving("10.244.0.5", "10.244.0.6"));
  cleaner.request(serving("10.244.0.5"));
  await turn();
  assert.deepEqual([reports.length, left()], [2, ["10.244.0.7"]]);
  await clock.advance(500);
  assert.deepEqual([reports.length, left()], [4, []]);
  await cleaner.close();
});

test("a request that changes nothing starts no run", async () => {
  const { cleaner, reports, clock } = setUp();
  cleaner.request(serving("10.244.0.5"));
  await turn();
  cleaner.request(serving("10.244.0.5"));
  await clock.advance(10_000);
  assert.equal(reports.length, 2);
  await cleaner.close();
});

test("where nothing is served the table is not walked, and the run is reported", async () => {
  const { cleaner, addFlow, reports } = setUp();
  addFlow("10.0.0.1", "10.244.0.5");
  cleaner.request(noUdpTargets);
  await turn();
  assert.deepEqual(
    reports.map(({ listed }) => listed),
    [0, 0],
  );
  await cleaner.close();
});

test("flows of a deleted Service go, once", async () => {
  const { cleaner, addFlow, left, clock } = setUp();
  cleaner.request(serving("10.244.0.5"));
  await turn();
  addFlow("10.0.0.1", "10.244.0.5");
  cleaner.request(noUdpTargets);
  await clock.advance(500);
  assert.deepEqual(left(), []);
  addFlow("10.0.0.1", "172.17.0.2"); // somebody else translates this address now
  cleaner.request(gone());
  await clock.advance(500);
  assert.deepEqual(left(), ["172.17.0.2"]);
  await cleaner.close();
});

test("flows of a Service that an earlier process served go at the first run", async () => {
  const { cleaner, addFlow, left } = setUp({ previous: serving("10.244.0.5") });
  addFlow("10.0.0.1", "10.244.0.5");
  cleaner.request(noUdpTargets);
  await turn();
  assert.deepEqual(left(), []);
  await cleaner.close();
});

test("a flow to an endpoint that is being programmed is spared", async () => {
  const { cleaner, addFlow, left, clock } = setUp();
  addFlow("10.0.0.1", "10.244.0.6");
  cleaner.expect(serving("10.244.0.5", "10.244.0.6"));
  cleaner.request(serving("10.244.0.5"));
  cleaner.expect(serving("10.244.0.5", "10.244.0.6"));
  await turn();
  assert.deepEqual(left(), ["10.244.0.6"]);
  cleaner.request(serving("10.244.0.5", "10.244.0.6"));
  await clock.advance(500);
  assert.deepEqual(left(), ["10.244.0.6"]);
  cleaner.request(serving("10.244.0.5"));
  await clock.advance(500);
  assert.deepEqual(left(), []);
  await cleaner.close();
});

test("whichever call fails, a later run finishes the work", async () => {
  for (let call = 1; call <= 6; call++) {
    const { cleaner, addFlow, left, errors, table, clock } = setUp({
      previous: serving("10.244.0.5"),
    });
    addFlow("10.0.0.1", "10.244.0.5");
    addFlow("10.0.0.2", "10.244.0.5");
    table.failAt(call, "EPERM");
    cleaner.request(noUdpTargets);
    await turn();
    assert.deepEqual(errors, call <= 4 ? [1_000] : [], `call ${call}`);
    await clock.advance(1_000);
    assert.deepEqual(left(), [], `call ${call}`);
    await cleaner.close();
  }
});

test("repeated failures are retried ever more slowly, up to 30 s", async () => {
  const { cleaner, errors, table, clock } = setUp();
  table.failAt(1, "EPERM");
  cleaner.request(serving("10.244.0.5"));
  await turn();
  for (let i = 0; i < 6; i++) {
    table.failAt(1, "EPERM");
    await clock.advance(errors.at(-1) ?? 0);
  }
  assert.deepEqual(errors, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  await cleaner.close();
});

test("closing stops the loop, also between runs and before the first", async () => {
  const idle = setUp();
  await idle.cleaner.close();
  const waiting = setUp();
  waiting.cleaner.request(serving("10.244.0.5"));
  await turn();
  await waiting.cleaner.close();
  waiting.cleaner.request(noUdpTargets);
  await turn();
  assert.equal(waiting.reports.length, 2);
});

function gone(): UdpTargets {
  return { ...noUdpTargets, nodePorts: new Map([[30_053, new Set<string>()]]) };
}
