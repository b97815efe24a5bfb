// Statuses kept against a fake API server's state, without HTTP: what is written, and when not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type FakeClock, makeFakeClock } from "../clock/fake-clock.ts";
import { asRecord, type JsonRecord } from "./api/fields.ts";
import { answerObject, type ObjectRequest } from "./fake-api-objects.ts";
import { FakeApiState } from "./fake-api-state.ts";
import { KubeApiError } from "./kube-api-error.ts";
import { ECHO_PATIENCE_MS, type StatusEvent, StatusKeeper } from "./status-keeper.ts";
import { CONFLICT_LIMIT, type StatusTarget, statusTargetOf } from "./status-writer.ts";

const COLLECTION = "/api/v1/services";
const PATH = "/api/v1/namespaces/default/services/web";

interface Rig {
  readonly state: FakeApiState;
  readonly clock: FakeClock;
  readonly keeper: StatusKeeper;
  readonly events: StatusEvent[];
  readonly patches: ObjectRequest[];
  readonly term: AbortController;
  /** Shows the newest object to the keeper, as a watch does. */
  readonly watch: () => void;
  /** What the status should say. */
  want: JsonRecord;
  /** Called at the server before each patch. */
  before: () => void;
  holds: boolean;
  readonly status: () => JsonRecord;
}

function makeRig(): Rig {
  const state = new FakeApiState();
  const clock = makeFakeClock();
  const events: StatusEvent[] = [];
  const patches: ObjectRequest[] = [];
  const term = new AbortController();
  let target: StatusTarget | undefined;
  const ask = async (request: ObjectRequest): Promise<unknown> => {
    const answer = answerObject(state, request);
    if (!("reason" in answer)) return answer.object;
    throw new KubeApiError("fake", { code: answer.code, reason: answer.reason });
  };
  const keeper = new StatusKeeper(
    { signal: term.signal, holds: () => rig.holds },
    {
      client: {
        getJson: (path) => ask({ verb: "get", path, body: {} }),
        patch: async (path, body, { permit }) => {
          rig.before();
          if (permit?.() !== true) {
            throw new KubeApiError("fake", { code: "NOT_PERMITTED", reason: "Network" });
          }
          const request: ObjectRequest = { verb: "patch", path, body: asRecord(body) };
          patches.push(request);
          return ask(request);
        },
      },
      clock,
      random: () => 0.5,
      subjects: () => {
        const verdict = rig.want;
        const next = (status: JsonRecord): JsonRecord | undefined =>
          isDeepStrictEqual({ ...status, ...verdict }, status) ? undefined : verdict;
        return target === undefined ? [] : [{ key: "Service default/web", target, verdict, next }];
      },
      onEvent: (event) => {
        if (event.kind !== "depth") events.push(event);
      },
    },
  );
  const rig: Rig = {
    state,
    clock,
    keeper,
    events,
    patches,
    term,
    watch: () => {
      const stored = state.objects(COLLECTION).get("default/web");
      target = stored === undefined ? undefined : statusTargetOf(PATH, stored.value);
    },
    want: { ready: true },
    before: () => {},
    holds: true,
    status: () => asRecord(state.objects(COLLECTION).get("default/web")?.value["status"]),
  };
  return rig;
}

function putObject(state: FakeApiState, more: JsonRecord = {}, generation = 1): void {
  state.put({ kind: "Service", metadata: { name: "web", generation }, ...more });
}

/** Looks and lets what was queued be done. */
async function look({ keeper, clock }: Rig): Promise<void> {
  keeper.look();
  await clock.advance(0);
  await clock.advance(0);
}

function kinds({ events }: Rig): readonly string[] {
  return events.map(({ kind }) => kind);
}

test("a status is written once, and what others wrote there stays", async () => {
  const rig = makeRig();
  putObject(rig.state, { status: { theirs: 1 } });
  rig.watch();
  await look(rig);
  rig.watch();
  await look(rig);
  await look(rig);
  assert.deepEqual(rig.status(), { theirs: 1, ready: true });
  assert.equal(rig.patches.length, 1);
  assert.deepEqual(kinds(rig), ["written", "unchanged"]);
});

test("nothing is written where nothing differs", async () => {
  const rig = makeRig();
  putObject(rig.state, { status: { ready: true } });
  rig.watch();
  await look(rig);
  assert.deepEqual([rig.patches.length, kinds(rig)], [0, ["unchanged"]]);
});

test("a conflict is read again and judged anew", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  putObject(rig.state, { status: { theirs: 1 } });
  await look(rig);
  assert.deepEqual(rig.status(), { theirs: 1, ready: true });
  assert.deepEqual(kinds(rig), ["conflict", "written"]);
});

test("a conflict in which another wrote the same ends without a write", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  putObject(rig.state, { status: { ready: true } });
  await look(rig);
  assert.deepEqual(kinds(rig), ["conflict", "unchanged"]);
});

test("endless conflicts are put off, not fought", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  let count = 0;
  rig.before = () => putObject(rig.state, { status: { count: ++count } });
  await look(rig);
  assert.equal(count, CONFLICT_LIMIT + 1);
  assert.equal(kinds(rig).at(-1), "failed");
  rig.before = () => {};
  await rig.clock.advance(1_000);
  assert.equal(kinds(rig).at(-1), "written");
});

test("an object whose spec changed meanwhile is left for the watch to bring", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  putObject(rig.state, {}, 2);
  await look(rig);
  assert.deepEqual(kinds(rig), ["conflict", "stale"]);
  assert.deepEqual(rig.status(), {});
});

test("another object of the same name is not taken for the one that was judged", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  rig.state.remove({ kind: "Service", name: "web" });
  putObject(rig.state);
  await look(rig);
  assert.deepEqual(kinds(rig), ["conflict", "stale"]);
});

test("a deleted object is forgotten", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  rig.state.remove({ kind: "Service", name: "web" });
  await look(rig);
  assert.deepEqual(kinds(rig), ["gone"]);
  await rig.clock.advance(600_000);
  assert.equal(rig.events.length, 1);
});

test("after a write nothing is judged until the watch shows it", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  await look(rig);
  rig.want = { ready: false };
  await look(rig);
  assert.equal(rig.patches.length, 1, "the watch is behind");
  rig.watch();
  await look(rig);
  assert.deepEqual(rig.status(), { ready: false });
  assert.deepEqual(kinds(rig), ["written", "written"]);
});

test("a watch that never shows a write is waited for no longer than patience lasts", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  await look(rig);
  await rig.clock.advance(ECHO_PATIENCE_MS);
  rig.keeper.lookAgain();
  await rig.clock.advance(0);
  assert.deepEqual(kinds(rig), ["written", "conflict", "unchanged"]);
});

test("F11: nothing leaves once the leadership does not hold, and nothing begins when it is over", async () => {
  const rig = makeRig();
  putObject(rig.state);
  rig.watch();
  rig.before = () => (rig.holds = false);
  await look(rig);
  assert.deepEqual(rig.patches, []);
  rig.term.abort();
  await rig.clock.advance(600_000);
  rig.holds = true;
  await look(rig);
  await rig.keeper.idle();
  assert.deepEqual(rig.patches, []);
});
