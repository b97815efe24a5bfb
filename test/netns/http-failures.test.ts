// HTTPRoutes and backends that are slow, fail or refuse: timeouts, retries and their budget.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { valueOf } from "./http-backend-log.ts";
import { PARENT } from "./http-manifests.ts";
import { marked, type NamedStage, NamedStages } from "./http-named-stages.ts";
import { countPods, FRONT_POD, V3_POD } from "./http-rig.ts";
import { path, rule } from "./http-route-rules.ts";

const MANY = { parallel: 8, reuse: true };
/** A quiet backend may be tried again so often, by each of two workers. */
const LEAST_RETRIES = 60;

const STAGES = {
  timeouts: {
    rules: [
      rule(path("/request"), "v1", { timeouts: { request: "300ms" } }),
      rule(path("/backend"), "v1", { timeouts: { request: "2s", backendRequest: "300ms" } }),
      rule(path("/none"), "v1", { timeouts: { request: "0s" } }),
      rule(path("/again"), "all", {
        timeouts: { request: "3s", backendRequest: "300ms" },
        retry: { attempts: 2, backoff: "10ms" },
      }),
    ],
  },
  retries: {
    rules: [
      rule(path("/codes"), "all", { retry: { codes: [500, 503], attempts: 2, backoff: "10ms" } }),
      rule(path("/slow"), "all", { retry: { codes: [503], attempts: 1, backoff: "400ms" } }),
      rule(path("/plain"), "all"),
    ],
  },
  // The budget is the backend's: this one has no other requests.
  budget: {
    rules: [rule(undefined, PARENT, { retry: { codes: [503], attempts: 3, backoff: "1ms" } })],
  },
  half: { rules: [rule(undefined, "half", { retry: { attempts: 2 } })] },
} satisfies Record<string, NamedStage>;

describe("HTTPRoutes on Services, failing backends", () => {
  let stages: NamedStages<keyof typeof STAGES>;
  before(async () => {
    stages = await NamedStages.build(STAGES);
  });
  after(() => stages[Symbol.asyncDispose]());

  for (const where of ["/request", "/backend"]) {
    test(`a ${where.slice(1)} timeout is answered 504, and a quick request is not`, async () => {
      const late = await stages.rig.answer(
        stages.at("timeouts", where, marked(where, "delay=4800")),
      );
      assert.equal(late.status, 504);
      assert(late.elapsedMs >= 290 && late.elapsedMs < 4_000, `${late.elapsedMs} ms`);
      const quick = await stages.rig.answer(
        stages.at("timeouts", where, marked(where, "delay=10")),
      );
      assert.equal(quick.status, 200);
    });
  }

  test("a request timeout of 0 is none", async () => {
    const answer = await stages.rig.answer(
      stages.at("timeouts", "/none", marked("none", "delay=700")),
    );
    assert.equal(answer.status, 200);
  });

  test("an attempt that takes longer than backendRequest is tried again elsewhere", async () => {
    const call = stages.at("timeouts", "/again", marked("again", "delay=2000&first=1"));
    const answer = await stages.rig.answer(call);
    assert.equal(answer.status, 200);
    const pods = (await stages.rig.seen("again")).map(({ pod }) => pod);
    assert.equal(pods.length, 2);
    assert.notEqual(pods[0], pods[1]);
  });

  test("named codes are tried again, at most so often, with their bodies", async () => {
    const call = { method: "POST", body: "once more" };
    const good = marked("codes-2", "status=503&first=2");
    const answer = await stages.rig.answer(stages.at("retries", "/codes", { ...call, ...good }));
    assert.equal(answer.status, 200);
    const seen = await stages.rig.seen("codes-2");
    assert.deepEqual(
      seen.map(({ bodyBytes }) => bodyBytes),
      [9, 9, 9],
    );
    assert.equal(new Set(seen.map(({ pod }) => pod)).size, 3);
    assert.equal(new Set(seen.map(({ fields }) => valueOf(fields, "x-request-id"))).size, 1);
    const bad = marked("codes-3", "status=500&first=3");
    assert.equal(
      (await stages.rig.answer(stages.at("retries", "/codes", { ...call, ...bad }))).status,
      500,
    );
    assert.equal((await stages.rig.seen("codes-3")).length, 3);
  });

  test("other codes, and rules without retries, are not tried again", async () => {
    for (const [where, status] of [
      ["/codes", 502],
      ["/plain", 503],
    ] as const) {
      const id = `no-retry-${status}`;
      const call = stages.at("retries", where, marked(id, `status=${status}&first=1`));
      assert.equal((await stages.rig.answer(call)).status, status);
      assert.equal((await stages.rig.seen(id)).length, 1);
    }
  });

  test("the backoff passes before a retry", async () => {
    const call = stages.at("retries", "/slow", marked("backoff", "status=503&first=1"));
    const { status, elapsedMs } = await stages.rig.answer(call);
    assert.equal(status, 200);
    assert(elapsedMs >= 390, `${elapsedMs} ms`);
  });

  test("a connection that breaks is tried again for GET, not for POST", async () => {
    const broken = (id: string) => marked(id, "reset&first=1");
    const get = await stages.rig.answer(stages.at("retries", "/codes", broken("reset-get")));
    assert.equal(get.status, 200);
    assert.equal((await stages.rig.seen("reset-get")).length, 2);
    const post = { ...broken("reset-post"), method: "POST", body: "x" };
    assert.equal((await stages.rig.answer(stages.at("retries", "/codes", post))).status, 502);
    assert.equal((await stages.rig.seen("reset-post")).length, 1);
  });

  test("an endpoint that refuses is left for another one", async () => {
    const counts = countPods(await stages.rig.callMany(stages.at("half"), { ...MANY, count: 40 }));
    assert.deepEqual(counts, { [V3_POD]: 40 });
  });

  test("retries end where the budget does: a failing backend gets 1.2 times its traffic", async () => {
    const call = stages.at("budget", "/", marked("budget", "status=503"));
    const results = await stages.rig.callMany(call, { ...MANY, count: 400 });
    assert.deepEqual(countPods(results), { [FRONT_POD]: 400 });
    const { length } = await stages.rig.seen("budget");
    assert(length > 400 && length <= 400 * 1.2 + LEAST_RETRIES, `${length} attempts`);
  });
});
