import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeClock, makeFakeClock } from "../../lib/clock/fake-clock.ts";
import {
  nodeReference,
  policyProblem,
  serverFailed,
  serviceHealthFailed,
  serviceReference,
  starting,
} from "./event-reports.ts";
import { type DropReason, type EventReport, type KubeEvent, makeEventSink } from "./events.ts";

const node = nodeReference("node-a", "uid-1");

interface Fixture {
  readonly clock: FakeClock;
  readonly written: KubeEvent[];
  readonly dropped: DropReason[];
  readonly stop: AbortController;
  report(event: EventReport): void;
  /** Lets the background work go on. */
  settle(): Promise<void>;
}

function makeFixture(create?: (event: KubeEvent) => Promise<void>): Fixture {
  const clock = makeFakeClock(Date.UTC(2026, 0, 2));
  const written: KubeEvent[] = [];
  const dropped: DropReason[] = [];
  const stop = new AbortController();
  const sink = makeEventSink({
    nodeName: "node-a",
    createEvent: async (event) => {
      await create?.(event);
      written.push(event);
    },
    clock,
    random: () => 0.5,
    signal: stop.signal,
    onDropped: (reason) => void dropped.push(reason),
  });
  const settle = () => clock.advance(0);
  return { clock, written, dropped, stop, settle, report: (event) => sink.report(event) };
}

function problem(index: number): EventReport {
  return serverFailed(node, "metrics", new Error(`problem ${index}`));
}

test("an event is an events.k8s.io/v1 object with all that the API demands", async () => {
  const fixture = makeFixture();
  fixture.report(starting(node));
  await fixture.settle();
  assert.deepEqual(fixture.written, [
    {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      metadata: { name: "node-a.80000000.0", namespace: "default" },
      eventTime: "2026-01-02T00:00:00.000000Z",
      reportingController: "innermesh.io/node",
      reportingInstance: "node-a",
      type: "Normal",
      reason: "Starting",
      action: "StartKubeProxy",
      note: "innermesh node serves Services on this node",
      regarding: { apiVersion: "v1", kind: "Node", name: "node-a", uid: "uid-1" },
    },
  ]);
});

test("an event about a Service stands in the Service's namespace", async () => {
  const fixture = makeFixture();
  const service = serviceReference({ namespace: "shop", name: "web", uid: "u" });
  fixture.report(serviceHealthFailed(service, "node-a", "port 30000 is in use"));
  await fixture.settle();
  const [event] = fixture.written;
  assert.equal(event?.metadata.namespace, "shop");
  assert.equal(event?.reason, "FailedToStartServiceHealthcheck");
  assert.equal(event?.note, "node node-a: port 30000 is in use");
});

test("an event about a policy names it as its API does", () => {
  const about = (object: string) => policyProblem({ object, field: "spec", message: "odd" });
  assert.deepEqual(about("NetworkPolicy shop/web").regarding, {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    namespace: "shop",
    name: "web",
  });
  assert.deepEqual(about("MeshPolicy default").regarding, {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "MeshPolicy",
    name: "default",
  });
});

test("the two servers' failures have kube-proxy's reasons", () => {
  const reasons = (["health", "metrics"] as const).map((s) =>
    serverFailed(node, s, new Error("x")),
  );
  assert.deepEqual(
    reasons.map((event) => event.reason),
    ["FailedToStartProxierHealthcheck", "FailedToStartMetricServer"],
  );
});

test("the same news is told once in ten minutes", async () => {
  const fixture = makeFixture();
  fixture.report(problem(1));
  fixture.report(problem(1));
  await fixture.clock.advance(599_999);
  fixture.report(problem(1));
  await fixture.clock.advance(1);
  fixture.report(problem(1));
  await fixture.settle();
  assert.equal(fixture.written.length, 2);
  assert.deepEqual(fixture.dropped, ["repeated", "repeated"]);
});

test("a flood is cut to 25 at once and then one in ten seconds", async () => {
  const fixture = makeFixture();
  for (let i = 0; i < 40; i++) fixture.report(problem(i));
  await fixture.settle();
  assert.equal(fixture.written.length, 25);
  assert.equal(fixture.dropped.filter((reason) => reason === "rate-limit").length, 15);
  await fixture.clock.advance(10_000);
  fixture.report(problem(100));
  fixture.report(problem(101));
  await fixture.settle();
  assert.equal(fixture.written.length, 26);
});

test("events keep their order, and their names differ", async () => {
  const fixture = makeFixture();
  for (let i = 0; i < 5; i++) fixture.report(problem(i));
  await fixture.settle();
  const notes = fixture.written.map((event) => event.note);
  assert.deepEqual(
    notes,
    [0, 1, 2, 3, 4].map((i) => `problem ${i}`),
  );
  assert.equal(new Set(fixture.written.map((event) => event.metadata.name)).size, 5);
});

test("an event is tried three times and then dropped", async () => {
  let tries = 0;
  const fixture = makeFixture(async () => {
    tries++;
    throw new Error("ECONNREFUSED");
  });
  fixture.report(problem(1));
  for (let i = 0; i < 3; i++) await fixture.clock.advance(10_000);
  assert.equal(tries, 3);
  assert.deepEqual(fixture.dropped, ["refused"]);
});

test("an event waits out a short outage", async () => {
  let down = true;
  const fixture = makeFixture(async () => {
    if (down) throw new Error("ECONNREFUSED");
  });
  fixture.report(problem(1));
  await fixture.settle();
  down = false;
  await fixture.clock.advance(10_000);
  assert.equal(fixture.written.length, 1);
  assert.deepEqual(fixture.dropped, []);
});

test("the queue is bounded while the API server hangs", async () => {
  const fixture = makeFixture(() => new Promise(() => undefined));
  for (let i = 0; i < 150; i++) {
    fixture.report(problem(i));
    await fixture.clock.advance(10_000);
  }
  assert.equal(fixture.written.length, 0);
  assert.equal(fixture.dropped.filter((reason) => reason === "queue-full").length, 49);
});

test("after the end nothing is written", async () => {
  const fixture = makeFixture();
  fixture.stop.abort();
  fixture.report(problem(1));
  await fixture.settle();
  assert.deepEqual(fixture.written, []);
});

test("long names and notes are cut to the API's limits, never inside a character", async () => {
  const fixture = makeFixture();
  const service = serviceReference({ namespace: "n", name: "x".repeat(253) });
  fixture.report(serviceHealthFailed(service, "n", `a${"é".repeat(2_000)}`));
  await fixture.settle();
  const [event] = fixture.written;
  assert.ok((event?.metadata.name.length ?? 0) <= 253);
  const note = event?.note ?? "";
  assert.ok(Buffer.byteLength(note) <= 1_024 && note.endsWith("é"));
});
