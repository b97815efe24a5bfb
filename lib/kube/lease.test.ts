// Elections between candidates whose clocks are turned apart: a process that is frozen is one whose
// code does not run while its clock goes on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeClock, makeFakeClock } from "../clock/fake-clock.ts";
import { asRecord, type JsonRecord } from "./api/fields.ts";
import { answerObject, type ObjectRequest } from "./fake-api-objects.ts";
import { FakeApiState } from "./fake-api-state.ts";
import { KubeApiError } from "./kube-api-error.ts";
import {
  type ElectionEvent,
  LEASE_SECONDS,
  type Leadership,
  RETRY_MS,
  runElection,
  TRUST_MS,
} from "./lease.ts";

const LEASES = "/apis/coordination.k8s.io/v1/leases";

interface Candidate {
  readonly clock: FakeClock;
  readonly events: ElectionEvent[];
  readonly stop: AbortController;
  readonly ended: Promise<unknown>;
  /** The office held now. */
  readonly office: () => Leadership | undefined;
  /** Ends the work of the office, which otherwise waits for its signal. */
  readonly fail: (error: Error) => void;
  /** Lets time pass in which none of its code runs. */
  readonly freeze: (durationMs: number) => void;
  /** Says whether its requests reach the server. */
  readonly connect: (connected: boolean) => void;
}

function stand(state: FakeApiState, identity: string): Candidate {
  const clock = makeFakeClock(Date.parse("2026-01-01T00:00:00Z"));
  const events: ElectionEvent[] = [];
  const stop = new AbortController();
  let frozenMs = 0;
  let connected = true;
  let office: Leadership | undefined;
  let work = Promise.withResolvers<void>();
  const ask = async (request: ObjectRequest): Promise<JsonRecord> => {
    if (!connected) throw failure("ECONNREFUSED");
    const answer = answerObject(state, request);
    if ("reason" in answer) throw failure(answer.code);
    return answer.object;
  };
  const ended = runElection(
    {
      client: {
        getJson: (path) => ask({ verb: "get", path, body: {} }),
        create: (path, object) => ask({ verb: "create", path, body: asRecord(object) }),
        replace: (path, object) => ask({ verb: "update", path, body: asRecord(object) }),
      },
      namespace: "mesh",
      name: "controller",
      identity,
      clock: { ...clock, monotonicMs: () => clock.monotonicMs() + frozenMs },
      random: () => 0,
      signal: stop.signal,
      onEvent: (event) => events.push(event),
    },
    async (leadership) => {
      office = leadership;
      work = Promise.withResolvers<void>();
      leadership.signal.addEventListener("abort", () => work.resolve());
      await work.promise;
      office = undefined;
    },
  );
  return {
    clock,
    events,
    stop,
    ended: ended.catch((error: unknown) => error),
    office: () => office,
    fail: (error) => work.reject(error),
    freeze: (durationMs) => (frozenMs += durationMs),
    connect: (now) => (connected = now),
  };
}

function failure(code: number | string): KubeApiError {
  return new KubeApiError(`fake says ${code}`, { code, reason: "Fake" });
}

function specOf(state: FakeApiState): JsonRecord {
  return asRecord(state.objects(LEASES).get("mesh/controller")?.value["spec"]);
}

function putLease(state: FakeApiState, spec: JsonRecord): void {
  state.put({ kind: "Lease", metadata: { namespace: "mesh", name: "controller" }, spec });
}

async function advanceAll(all: readonly Candidate[], durationMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < durationMs; passedMs += 500) {
    for (const { clock } of all) await clock.advance(500);
  }
}

test("a lease that is not there is made, held and renewed", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  assert.equal(a.office()?.holds(), true);
  assert.deepEqual(specOf(state), {
    holderIdentity: "a",
    leaseDurationSeconds: LEASE_SECONDS,
    acquireTime: "2026-01-01T00:00:00.000000Z",
    renewTime: "2026-01-01T00:00:00.000000Z",
    leaseTransitions: 0,
  });
  await a.clock.advance(60_000);
  assert.equal(a.office()?.holds(), true);
  assert.equal(specOf(state)["renewTime"], "2026-01-01T00:01:00.000000Z");
  assert.equal(specOf(state)["acquireTime"], "2026-01-01T00:00:00.000000Z");
  assert.deepEqual(a.events, [{ kind: "leading" }]);
});

test("one leads and the other follows for as long as the lease is renewed", async () => {
  const state = new FakeApiState();
  const all = [stand(state, "a"), stand(state, "b")] as const;
  await advanceAll(all, 120_000);
  assert.deepEqual(
    all.map((candidate) => candidate.office() !== undefined),
    [true, false],
  );
  assert.deepEqual(all[1].events, [{ kind: "following", leader: "a" }]);
});

test("two that find the lease free in the same moment: one gets it", async () => {
  const state = new FakeApiState();
  putLease(state, { holderIdentity: "" });
  const all = [stand(state, "a"), stand(state, "b")];
  await Promise.all(all.map(({ clock }) => clock.advance(0)));
  assert.equal(all.filter((candidate) => candidate.office() !== undefined).length, 1);
});

test("a silent holder is waited for by the own clock, whatever times its lease tells", async () => {
  for (const renewTime of ["1970-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", 7]) {
    const state = new FakeApiState();
    putLease(state, { holderIdentity: "x", leaseDurationSeconds: 30, renewTime });
    const a = stand(state, "a");
    await a.clock.advance(0);
    await a.clock.advance(30_000);
    assert.equal(a.office(), undefined);
    await a.clock.advance(RETRY_MS);
    assert.equal(a.office()?.holds(), true);
    assert.equal(specOf(state)["leaseTransitions"], 1);
  }
});

test("a holder that only changes its renew time is alive", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  for (let renewal = 0; renewal < 10; renewal++) {
    putLease(state, { holderIdentity: "x", leaseDurationSeconds: 15, renewTime: `${renewal}` });
    await a.clock.advance(14_000);
  }
  assert.equal(a.office(), undefined);
});

test("F11: a leader that was frozen past its trust holds nothing when it thaws", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  const office = a.office();
  assert.ok(office);
  a.freeze(TRUST_MS - 1);
  assert.equal(office.holds(), true);
  a.freeze(1);
  assert.equal(office.holds(), false, "before it has asked anybody");
  assert.equal(office.signal.aborted, false);
});

test("F11: another leads meanwhile, and the thawed one follows", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  const office = a.office();
  const b = stand(state, "b");
  await b.clock.advance(0);
  await b.clock.advance(20_000);
  assert.equal(b.office()?.holds(), true);
  a.freeze(20_000);
  await a.clock.advance(2 * RETRY_MS);
  assert.equal(office?.signal.aborted, true);
  assert.equal(a.office(), undefined);
  assert.deepEqual(a.events, [
    { kind: "leading" },
    { kind: "lost", why: "not renewed in time" },
    { kind: "following", leader: "b" },
  ]);
  assert.equal(specOf(state)["holderIdentity"], "b");
});

test("a leader is over before any other may begin", async () => {
  const state = new FakeApiState();
  const all = [stand(state, "a"), stand(state, "b")] as const;
  const [a, b] = all;
  await advanceAll(all, 4_000);
  a.connect(false);
  let gapMs = 0;
  while (b.office() === undefined) {
    await advanceAll(all, 500);
    assert.ok(a.office()?.holds() !== true || b.office()?.holds() !== true, "never two at once");
    if (a.office()?.holds() !== true && b.office() === undefined) gapMs += 500;
  }
  assert.ok(gapMs >= 4_000, `nobody leads for ${gapMs} ms`);
});

test("renewals that fail for less than the trust cost nothing", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  for (let outage = 0; outage < 3; outage++) {
    a.connect(false);
    await a.clock.advance(TRUST_MS - 3_000);
    a.connect(true);
    await a.clock.advance(2 * RETRY_MS);
    assert.equal(a.office()?.holds(), true);
  }
  assert.ok(a.events.some(({ kind }) => kind === "failed"));
});

test("a lease that someone took by hand is given up at the next renewal", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  putLease(state, { ...specOf(state), holderIdentity: "x" });
  await a.clock.advance(2 * RETRY_MS);
  assert.equal(a.office(), undefined);
  assert.ok(a.events.some((event) => event.kind === "lost" && /taken over by "x"/.test(event.why)));
});

test("a lease that was deleted is made again", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  state.remove({ kind: "Lease", namespace: "mesh", name: "controller" });
  await a.clock.advance(3 * RETRY_MS);
  assert.equal(a.office()?.holds(), true);
  assert.equal(specOf(state)["holderIdentity"], "a");
});

test("who stops gives the lease back once its work has ended, and the next one leads at once", async () => {
  const state = new FakeApiState();
  const all = [stand(state, "a"), stand(state, "b")] as const;
  const [a, b] = all;
  await advanceAll(all, 5_000);
  a.stop.abort();
  await a.ended;
  assert.equal(a.events.at(-1)?.kind, "released");
  assert.deepEqual(
    [specOf(state)["holderIdentity"], specOf(state)["leaseDurationSeconds"]],
    ["", 1],
  );
  await b.clock.advance(RETRY_MS);
  assert.equal(b.office()?.holds(), true);
  assert.equal(specOf(state)["leaseTransitions"], 1);
});

test("the lease is given back also when the last renewal was cut off", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  a.connect(false);
  await a.clock.advance(RETRY_MS);
  a.connect(true);
  a.stop.abort();
  await a.ended;
  assert.equal(specOf(state)["holderIdentity"], "");
});

test("work that fails ends the election, with the lease given back", async () => {
  const state = new FakeApiState();
  const a = stand(state, "a");
  await a.clock.advance(0);
  a.fail(new Error("broken"));
  await a.clock.advance(0);
  assert.match(String(await a.ended), /broken/);
  assert.equal(specOf(state)["holderIdentity"], "");
});

test("what others keep in the lease stays", async () => {
  const state = new FakeApiState();
  putLease(state, { holderIdentity: "", strategy: "OldestEmulationVersion" });
  const a = stand(state, "a");
  await a.clock.advance(5_000);
  assert.equal(specOf(state)["strategy"], "OldestEmulationVersion");
});

test("a lease full of nonsense is free", async () => {
  for (const spec of [
    7,
    [],
    { holderIdentity: 7 },
    { holderIdentity: "", leaseTransitions: "x" },
  ]) {
    const state = new FakeApiState();
    state.put({ kind: "Lease", metadata: { namespace: "mesh", name: "controller" }, spec });
    const a = stand(state, "a");
    await a.clock.advance(0);
    assert.equal(a.office()?.holds(), true, JSON.stringify(spec));
  }
});
