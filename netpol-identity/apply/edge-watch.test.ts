import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { protocolTcp } from "../../lib/netlink/conntrack-entry.ts";
import { makeFakeConntrack } from "../../lib/netlink/fake-conntrack.ts";
import { samplePod } from "../plan/sample-cluster.ts";
import { EdgeBook } from "./edge-book.ts";
import { watchEdges } from "./edge-watch.ts";

const FRONT = samplePod({ name: "front", addresses: ["10.0.0.1"] });

test("flows are looked for every half minute, and a look that fails is followed by the next", async () => {
  const clock = makeFakeClock();
  const table = makeFakeConntrack();
  const book = new EdgeBook();
  const errors: unknown[] = [];
  const world = () => ({
    nodeName: "node-1",
    owned: new Map([["10.0.0.1", FRONT]]),
    nodes: new Map(),
    services: new Set<string>(),
    isProven: () => false,
  });
  const stop = new AbortController();
  table.failAt(1, "EPERM");
  const onError = (error: unknown): number => errors.push(error);
  const ended = watchEdges({ book, table, clock, world, onError }, stop.signal);
  await clock.advance(0);
  assert.equal(errors.length, 1);
  add(table, 443);
  assert.deepEqual(book.report("node-1").edges, []);
  await clock.advance(30_000);
  await settled(() => book.report("node-1").edges.length === 1);
  stop.abort();
  await ended;
});

function add(table: ReturnType<typeof makeFakeConntrack>, port: number): void {
  const [client, server] = ["10.0.0.1", "9.9.9.9"];
  table.add({
    family: "ip",
    protocol: protocolTcp,
    original: { source: client, destination: server, sourcePort: 1, destinationPort: port },
    reply: { source: server, destination: client, sourcePort: port, destinationPort: 1 },
    zone: 0,
    replyZone: 0,
    status: 0,
  });
}

/** A walk takes some turns of the event loop. */
async function settled(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
