// What HTTPRoutes do to many requests: weights, mirrors, session persistence.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { valueOf } from "./http-backend-log.ts";
import type { HttpAnswer } from "./http-client-protocol.ts";
import { PARENT } from "./http-manifests.ts";
import { marked, type NamedStage, NamedStages } from "./http-named-stages.ts";
import { answered, countPods, FRONT_POD, seenBy, V1_POD, V2_POD, V3_POD } from "./http-rig.ts";
import { type Json, path, rule, weighted } from "./http-route-rules.ts";
import { until } from "./served-node.ts";

/** The conformance suite's number and tolerance. */
const MANY = { count: 500, parallel: 8, reuse: true };
const TOLERANCE = 25;
/** A mirror that takes so long must not be waited for. */
const SLOW_MS = 4_000;

const mirror = (name: string, share: Json = {}): Json => ({
  type: "RequestMirror",
  requestMirror: { backendRef: { name, port: 80 }, ...share },
});
const persistent = (type: string, more: Json = {}): Json => ({
  sessionPersistence: { type, sessionName: "im-session", ...more },
});

const STAGES = {
  weights: { rules: [weighted(["v1", 70], ["v2", 30], ["v3", 0])] },
  zero: { rules: [weighted(["v1", 0], ["v2", 0])] },
  partly: { rules: [weighted(["v1", 80], ["nobody", 20])] },
  mirrors: {
    rules: [
      rule(path("/one"), "v1", { filters: [mirror("v2")] }),
      rule(path("/two"), "v1", { filters: [mirror("v2"), mirror("v3")] }),
      rule(path("/share"), "v1", { filters: [mirror("v2", { percent: 20 })] }),
      rule(path("/fraction"), "v1", {
        filters: [mirror("v2", { fraction: { numerator: 1, denominator: 2 } })],
      }),
      rule(path("/dead"), "v1", { filters: [mirror("dead"), mirror("nobody")] }),
    ],
  },
  sessions: {
    service: { pods: [V1_POD, V2_POD, V3_POD] },
    rules: [
      rule(path("/cookie"), PARENT, persistent("Cookie")),
      rule(path("/header"), PARENT, persistent("Header")),
      rule(path("/long"), PARENT, {
        ...persistent("Cookie", {
          absoluteTimeout: "1h",
          cookieConfig: { lifetimeType: "Permanent" },
        }),
      }),
    ],
  },
} satisfies Record<string, NamedStage>;

describe("HTTPRoutes on Services, many requests", () => {
  let stages: NamedStages<keyof typeof STAGES>;
  before(async () => {
    stages = await NamedStages.build(STAGES);
  });
  after(() => stages[Symbol.asyncDispose]());

  test("500 requests meet the weights within 5 points; weight 0 gets none", async () => {
    const { [V1_POD]: v1 = 0, ...others } = countPods(
      await stages.rig.callMany(stages.at("weights"), MANY),
    );
    assert(Math.abs(v1 - 350) <= TOLERANCE, `v1 got ${v1}`);
    assert.deepEqual(others, { [V2_POD]: 500 - v1 });
  });

  test("weights that are all 0 are answered 500", async () => {
    assert.equal((await stages.rig.answer(stages.at("zero"))).status, 500);
  });

  test("the share of a backend that is not there is answered 500", async () => {
    const { [V1_POD]: v1 = 0, ...others } = countPods(
      await stages.rig.callMany(stages.at("partly"), MANY),
    );
    assert(Math.abs(v1 - 400) <= TOLERANCE, `v1 got ${v1}`);
    assert.deepEqual(others, { "500": 500 - v1 });
  });

  test("a mirror gets a copy of each request, body and all, and answers nobody", async () => {
    const call = stages.at("mirrors", "/one?x=1", { ...marked("mirror-1"), method: "POST" });
    for (let i = 0; i < 10; i++) {
      const answer = await stages.rig.answer({ ...call, body: `body ${i}` });
      assert.equal(seenBy(answer).pod, V1_POD);
    }
    await until("ten copies", async () => (await stages.rig.seen("mirror-1")).length === 20);
    const seen = await stages.rig.seen("mirror-1");
    const bodies = (pod: string): readonly string[] =>
      seen.flatMap((one) => (one.pod === pod ? [`${one.path} ${one.bodyHash}`] : [])).sort();
    assert.equal(bodies(V2_POD).length, 10);
    assert.deepEqual(bodies(V2_POD), bodies(V1_POD));
  });

  test("several mirrors get a copy each", async () => {
    await stages.rig.callMany(stages.at("mirrors", "/two", marked("mirror-2")), {
      ...MANY,
      count: 20,
    });
    await until("both copies", async () => (await stages.rig.seen("mirror-2")).length === 60);
    const pods = Object.groupBy(await stages.rig.seen("mirror-2"), ({ pod }) => pod);
    assert.deepEqual(
      [pods[V1_POD], pods[V2_POD], pods[V3_POD]].map((one) => one?.length),
      [20, 20, 20],
    );
  });

  for (const [where, share] of [
    ["/share", 100],
    ["/fraction", 250],
  ] as const) {
    test(`of 500 requests to ${where} ${share} are mirrored, within 5 points`, async () => {
      await stages.rig.callMany(stages.at("mirrors", where, marked(where)), MANY);
      let copies = -1;
      await until("no more copies", async () => {
        const before = copies;
        copies = (await stages.rig.seen(where)).filter(({ pod }) => pod === V2_POD).length;
        return copies === before;
      });
      assert(Math.abs(copies - share) <= TOLERANCE, `${copies} copies`);
    });
  }

  test("a mirror that is down, slow or missing takes nothing from the request", async () => {
    const answer = await stages.rig.answer(stages.at("mirrors", "/dead"));
    assert.equal(seenBy(answer).pod, V1_POD);
    assert(answer.elapsedMs < SLOW_MS / 2);
    const slow = marked("mirror-slow", `delay=${SLOW_MS}&pod=${V2_POD}`);
    const { elapsedMs } = await stages.rig.answer(stages.at("mirrors", "/one", slow));
    assert(elapsedMs < SLOW_MS / 2, `${elapsedMs} ms`);
  });

  for (const kind of ["cookie", "header", "long"]) {
    test(`a session's ${kind} leads back to its backend`, async () => {
      const where = `/${kind}`;
      const tokenOf = ({ fields }: HttpAnswer): string =>
        kind === "header"
          ? valueOf(fields, "im-session")
          : (/^im-session=([^;]+)/.exec(valueOf(fields, "set-cookie"))?.[1] ?? "");
      const first = await stages.rig.answer(stages.at("sessions", where));
      const token = tokenOf(first);
      assert.notEqual(token, "");
      const lasts = valueOf(first.fields, "set-cookie").includes("Max-Age=3600");
      assert.equal(lasts, kind === "long");
      const headers: Record<string, string> =
        kind === "header" ? { "im-session": token } : { cookie: `a=1; im-session=${token}` };
      const again = await stages.rig.callMany(stages.at("sessions", where, { headers }), {
        ...MANY,
        count: 20,
      });
      assert.deepEqual(countPods(again), { [seenBy(first).pod]: 20 });
      assert.equal(tokenOf(answered(again[0] ?? assert.fail())), "");
      const strangers = await stages.rig.callMany(stages.at("sessions", where), {
        ...MANY,
        count: 60,
      });
      assert(Object.keys(countPods(strangers)).length > 1);
    });
  }

  test("a session cannot choose an address that is no endpoint of its rule", async () => {
    const forged = Buffer.from(`1 ${Date.now()} ${stages.rig.pod(FRONT_POD).addresses.ip}:8080`);
    const cookie = `im-session=${forged.toString("base64url")}`;
    const answer = await stages.rig.answer(
      stages.at("sessions", "/cookie", { headers: { cookie } }),
    );
    assert.notEqual(seenBy(answer).pod, FRONT_POD);
  });
});
