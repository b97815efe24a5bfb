import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { protocolSctp, protocolUdp } from "../../lib/netlink/conntrack-entry.ts";
import { makeFakeConntrack } from "../../lib/netlink/fake-conntrack.ts";
import { sampleFlow } from "../plan/sample-flow.ts";
import { sampleGroups, sampleList, sampleSet } from "../evaluate/sample-set.ts";
import { type FlowCleanup, startFlowCleaner } from "./flow-cleaner.ts";

const [POD, OTHER, CLIENT] = ["10.71.1.2", "10.71.1.3", "10.71.2.2"] as const;
const DENY_ALL = sampleSet({ network: sampleList() });

function setUp() {
  const clock = makeFakeClock();
  const table = makeFakeConntrack();
  const done: FlowCleanup[] = [];
  const errors: unknown[] = [];
  const closed = new Set<string>();
  const stop = new AbortController();
  const world = () => ({
    pods: new Map([...closed].map((address) => [address, { ingress: DENY_ALL }] as const)),
    groups: sampleGroups({}),
    identityOf: () => null,
    isHost: () => false,
    isService: () => false,
  });
  const onDone = (cleanup: FlowCleanup) => done.push(cleanup);
  const onError = (error: unknown) => errors.push(error);
  const cleaner = startFlowCleaner({ table, clock, world, onDone, onError }, stop.signal);
  const left = () => table.entries().map(({ reply }) => reply.source);
  return { clock, table, done, errors, closed, stop, cleaner, left };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a walk ends denied flows of every protocol with ports, and spares the others", async () => {
  const { table, cleaner, closed, left, done, stop } = setUp();
  table.add(sampleFlow(CLIENT, OTHER));
  table.add(sampleFlow(CLIENT, POD));
  table.add(sampleFlow(CLIENT, POD, { protocol: protocolUdp }));
  table.add(sampleFlow(CLIENT, POD, { protocol: protocolSctp }));
  closed.add(POD);
  cleaner.request();
  await turn();
  assert.deepEqual(left(), [OTHER]);
  assert.deepEqual(done, [{ listed: 4, removed: 3, durationMs: 0 }]);
  stop.abort();
  await cleaner.ended;
});

test("what is asked during a walk or the pause after it is one more walk, by what holds then", async () => {
  const { table, cleaner, closed, left, clock, done, stop } = setUp();
  cleaner.request();
  await turn();
  table.add(sampleFlow(CLIENT, POD));
  cleaner.request();
  cleaner.request();
  closed.add(POD);
  await turn();
  assert.deepEqual([done.length, left()], [1, [POD]]);
  await clock.advance(500);
  await turn();
  assert.deepEqual([done.length, left()], [2, []]);
  stop.abort();
  await cleaner.ended;
});

test("a walk that fails comes again, and nothing is lost", async () => {
  const { table, cleaner, closed, left, clock, errors, stop } = setUp();
  table.add(sampleFlow(CLIENT, POD));
  closed.add(POD);
  table.failAt(2, "EPERM");
  cleaner.request();
  await turn();
  assert.deepEqual([errors.length, left()], [1, [POD]]);
  await clock.advance(1_000);
  await turn();
  assert.deepEqual([errors.length, left()], [1, []]);
  stop.abort();
  await cleaner.ended;
});
