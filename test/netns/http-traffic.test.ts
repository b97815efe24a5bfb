// What HTTPRoutes do to many requests, to slow and failing backends, and while they change:
// weights, mirrors, timeouts, retries, session persistence, grants.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { valueOf } from "./http-backend-log.ts";
import { HTTP1_PORT } from "./http-backend-protocol.ts";
import type { HttpAnswer, HttpCall } from "./http-client-protocol.ts";
import { PARENT, VAULT_GRANT } from "./http-manifests.ts";
import { path, rule } from "./http-match-cases.ts";
import {
  answered,
  countPods,
  FRONT_POD,
  HttpRig,
  type HttpStage,
  seenBy,
  V1_POD,
  V2_POD,
  V3_POD,
} from "./http-rig.ts";
import { until } from "./served-node.ts";

type Json = Readonly<Record<string, unknown>>;

/** The conformance suite's number and tolerance. */
const MANY = { count: 500, parallel: 8, reuse: true };
const TOLERANCE = 25;
/** A quiet backend may be tried again so often, by each of two workers. */
const LEAST_RETRIES = 60;

const mirror = (name: string, share: Json = {}): Json => ({
  type: "RequestMirror",
  requestMirror: { backendRef: { name, port: 80 }, ...share },
});
const weighted = (...weights: readonly (readonly [name: string, weight: number])[]): Json => ({
  backendRefs: weights.map(([name, weight]) => ({ name, port: 80, weight })),
});
const persistent = (type: string, more: Json = {}): Json => ({
  sessionPersistence: { type, sessionName: "im-session", ...more },
});

const STAGES = {
  weights: [weighted(["v1", 70], ["v2", 30], ["v3", 0])],
  zero: [weighted(["v1", 0], ["v2", 0])],
  partly: [weighted(["v1", 80], ["nobody", 20])],
  live: [weighted(["v1", 1], ["v2", 1])],
  mirrors: [
    rule(path("/one"), "v1", { filters: [mirror("v2")] }),
    rule(path("/two"), "v1", { filters: [mirror("v2"), mirror("v3")] }),
    rule(path("/share"), "v1", { filters: [mirror("v2", { percent: 20 })] }),
    rule(path("/fraction"), "v1", {
      filters: [mirror("v2", { fraction: { numerator: 1, denominator: 2 } })],
    }),
    rule(path("/dead"), "v1", { filters: [mirror("dead"), mirror("nobody")] }),
  ],
  timeouts: [
    rule(path("/request"), "v1", { timeouts: { request: "300ms" } }),
    rule(path("/backend"), "v1", { timeouts: { request: "2s", backendRequest: "300ms" } }),
    rule(path("/none"), "v1", { timeouts: { request: "0s" } }),
    rule(path("/again"), "all", {
      timeouts: { request: "3s", backendRequest: "300ms" },
      retry: { attempts: 2, backoff: "10ms" },
    }),
  ],
  retries: [
    rule(path("/codes"), "all", { retry: { codes: [500, 503], attempts: 2, backoff: "10ms" } }),
    rule(path("/slow"), "all", { retry: { codes: [503], attempts: 1, backoff: "400ms" } }),
    rule(path("/plain"), "all"),
  ],
  // The budget is the backend's: this one has no other requests.
  budget: [rule(undefined, PARENT, { retry: { codes: [503], attempts: 3, backoff: "1ms" } })],
  half: [rule(undefined, "half", { retry: { attempts: 2 } })],
  sessions: [
    rule(path("/cookie"), "all", persistent("Cookie")),
    rule(path("/header"), "all", persistent("Header")),
    rule(path("/long"), "all", {
      ...persistent("Cookie", {
        absoluteTimeout: "1h",
        cookieConfig: { lifetimeType: "Permanent" },
      }),
    }),
  ],
  granted: [{ backendRefs: [{ name: "safe", namespace: "vault", port: 80 }] }],
  bypass: [
    rule(undefined, "v1", {
      filters: [
        {
          type: "ResponseHeaderModifier",
          responseHeaderModifier: { set: [{ name: "x-routed", value: "yes" }] },
        },
      ],
    }),
  ],
  passing: [rule(path("/a"), "v1")],
} satisfies Record<string, readonly Json[]>;

type StageName = keyof typeof STAGES;

describe("HTTPRoutes on Services, many requests", () => {
  let rig: HttpRig;
  const names = Object.keys(STAGES);
  const stage = (name: StageName, rules: readonly Json[] = STAGES[name]): HttpStage => ({
    number: names.indexOf(name) + 1,
    routes: [{ rules }],
  });
  const at = (name: StageName, where = "/", more: Partial<HttpCall> = {}): HttpCall => ({
    ...rig.target(stage(name).number),
    path: where,
    ...more,
  });
  const marked = (id: string, behave = ""): Partial<HttpCall> => ({
    headers: { "x-case": id, "x-behave": behave },
  });
  before(async () => {
    rig = await HttpRig.build(Object.entries(STAGES).map(([, rules], index) => ({
      number: index + 1,
      routes: [{ rules }],
    })));
  });
  after(() => rig[Symbol.asyncDispose]());

  test("500 requests meet the weights within 5 points; weight 0 gets none", async () => {
    const { [V1_POD]: v1 = 0, ...others } = countPods(await rig.callMany(at("weights"), MANY));
    assert(Math.abs(v1 - 350) <= TOLERANCE, `v1 got ${v1}`);
    assert.deepEqual(others, { [V2_POD]: 500 - v1 });
  });

  test("weights that are all 0 are answered 500", async () => {
    assert.equal((await rig.answer(at("zero"))).status, 500);
  });

  test("the share of a backend that is not there is answered 500", async () => {
    const { [V1_POD]: v1 = 0, ...others } = countPods(await rig.callMany(at("partly"), MANY));
    assert(Math.abs(v1 - 400) <= TOLERANCE, `v1 got ${v1}`);
    assert.deepEqual(others, { "500": 500 - v1 });
  });

  test("weights change under load, and no request fails", async () => {
    let changes = 0;
    let isOver = false;
    const load = rig
      .callMany(at("live"), { count: 2_000, parallel: 4, reuse: true })
      .finally(() => (isOver = true));
    for (const weights of [[1, 0], [0, 1], [3, 1], [1, 1], [0, 1]] as const) {
      const [v1, v2] = weights;
      await rig.stage(stage("live", [weighted(["v1", v1], ["v2", v2])]));
      changes++;
      const [wanted, other] = v1 === 0 ? [V2_POD, V1_POD] : [V1_POD, V2_POD];
      await until(`weights ${v1}:${v2}`, async () => {
        const counts = countPods(await rig.callMany(at("live"), { ...MANY, count: 10 }));
        return v1 * v2 === 0 ? counts[wanted] === 10 : (counts[other] ?? 0) > 0;
      });
      if (isOver) break;
    }
    const { [V1_POD]: v1 = 0, [V2_POD]: v2 = 0, ...others } = countPods(await load);
    assert.deepEqual(others, {});
    assert(changes >= 2 && v1 > 0 && v2 > 0, `${changes} changes, ${v1} and ${v2}`);
  });

  test("a mirror gets a copy of each request, body and all, and answers nobody", async () => {
    const call = at("mirrors", "/one?x=1", { ...marked("mirror-1"), method: "POST" });
    for (let i = 0; i < 10; i++) {
      const answer = await rig.answer({ ...call, body: `body ${i}` });
      assert.equal(seenBy(answer).pod, V1_POD);
    }
    await until("ten copies", async () => (await rig.seen("mirror-1")).length === 20);
    const seen = await rig.seen("mirror-1");
    const bodies = (pod: string): readonly string[] =>
      seen.flatMap((one) => (one.pod === pod ? [`${one.path} ${one.bodyHash}`] : [])).sort();
    assert.equal(bodies(V2_POD).length, 10);
    assert.deepEqual(bodies(V2_POD), bodies(V1_POD));
  });

  test("several mirrors get a copy each", async () => {
    await rig.callMany(at("mirrors", "/two", marked("mirror-2")), { ...MANY, count: 20 });
    await until("both copies", async () => (await rig.seen("mirror-2")).length === 60);
    const pods = Object.groupBy(await rig.seen("mirror-2"), ({ pod }) => pod);
    assert.deepEqual([pods[V1_POD], pods[V2_POD], pods[V3_POD]].map((one) => one?.length), [
      20, 20, 20,
    ]);
  });

  for (const [where, share] of [["/share", 100], ["/fraction", 250]] as const) {
    test(`of 500 requests to ${where} ${share} are mirrored, within 5 points`, async () => {
      await rig.callMany(at("mirrors", where, marked(where)), MANY);
      let copies = -1;
      await until("no more copies", async () => {
        const before = copies;
        copies = (await rig.seen(where)).filter(({ pod }) => pod === V2_POD).length;
        return copies === before;
      });
      assert(Math.abs(copies - share) <= TOLERANCE, `${copies} copies`);
    });
  }

  test("a mirror that is down, slow or missing takes nothing from the request", async () => {
    const answer = await rig.answer(at("mirrors", "/dead"));
    assert.equal(seenBy(answer).pod, V1_POD);
    assert(answer.elapsedMs < 500);
    const slow = marked("mirror-slow", `delay=1000&pod=${V2_POD}`);
    const { elapsedMs } = await rig.answer(at("mirrors", "/one", slow));
    assert(elapsedMs < 500, `${elapsedMs} ms`);
  });

  for (const where of ["/request", "/backend"]) {
    test(`a ${where.slice(1)} timeout is answered 504, and a quick request is not`, async () => {
      const late = await rig.answer(at("timeouts", where, marked(where, "delay=2000")));
      assert.equal(late.status, 504);
      assert(late.elapsedMs >= 290 && late.elapsedMs < 1_500, `${late.elapsedMs} ms`);
      const quick = await rig.answer(at("timeouts", where, marked(where, "delay=10")));
      assert.equal(quick.status, 200);
    });
  }

  test("a request timeout of 0 is none", async () => {
    const answer = await rig.answer(at("timeouts", "/none", marked("none", "delay=700")));
    assert.equal(answer.status, 200);
  });

  test("an attempt that takes longer than backendRequest is tried again elsewhere", async () => {
    const call = at("timeouts", "/again", marked("again", "delay=2000&first=1"));
    const answer = await rig.answer(call);
    assert.equal(answer.status, 200);
    const pods = (await rig.seen("again")).map(({ pod }) => pod);
    assert.equal(pods.length, 2);
    assert.notEqual(pods[0], pods[1]);
  });

  test("named codes are tried again, at most so often, with their bodies", async () => {
    const call = { method: "POST", body: "once more" };
    const good = marked("codes-2", "status=503&first=2");
    const answer = await rig.answer(at("retries", "/codes", { ...call, ...good }));
    assert.equal(answer.status, 200);
    const seen = await rig.seen("codes-2");
    assert.deepEqual(seen.map(({ bodyBytes }) => bodyBytes), [9, 9, 9]);
    assert.equal(new Set(seen.map(({ pod }) => pod)).size, 3);
    assert.equal(new Set(seen.map(({ fields }) => valueOf(fields, "x-request-id"))).size, 1);
    const bad = marked("codes-3", "status=500&first=3");
    assert.equal((await rig.answer(at("retries", "/codes", { ...call, ...bad }))).status, 500);
    assert.equal((await rig.seen("codes-3")).length, 3);
  });

  test("other codes, and rules without retries, are not tried again", async () => {
    for (const [where, status] of [["/codes", 502], ["/plain", 503]] as const) {
      const id = `no-retry-${status}`;
      const call = at("retries", where, marked(id, `status=${status}&first=1`));
      assert.equal((await rig.answer(call)).status, status);
      assert.equal((await rig.seen(id)).length, 1);
    }
  });

  test("the backoff passes before a retry", async () => {
    const call = at("retries", "/slow", marked("backoff", "status=503&first=1"));
    const { status, elapsedMs } = await rig.answer(call);
    assert.equal(status, 200);
    assert(elapsedMs >= 390 && elapsedMs < 2_000, `${elapsedMs} ms`);
  });

  test("a connection that breaks is tried again for GET, not for POST", async () => {
    const broken = (id: string): Partial<HttpCall> => marked(id, "reset&first=1");
    const get = await rig.answer(at("retries", "/codes", broken("reset-get")));
    assert.equal(get.status, 200);
    assert.equal((await rig.seen("reset-get")).length, 2);
    const post = { ...broken("reset-post"), method: "POST", body: "x" };
    assert.equal((await rig.answer(at("retries", "/codes", post))).status, 502);
    assert.equal((await rig.seen("reset-post")).length, 1);
  });

  test("an endpoint that refuses is left for another one", async () => {
    const counts = countPods(await rig.callMany(at("half"), { ...MANY, count: 40 }));
    assert.deepEqual(counts, { [V3_POD]: 40 });
  });

  test("retries end where the budget does: a failing backend gets 1.2 times its traffic", async () => {
    const call = at("budget", "/", marked("budget", "status=503"));
    const results = await rig.callMany(call, { ...MANY, count: 400 });
    assert.deepEqual(countPods(results), { [FRONT_POD]: 400 });
    const { length } = await rig.seen("budget");
    assert(length > 400 && length <= 400 * 1.2 + LEAST_RETRIES, `${length} attempts`);
  });

  for (const kind of ["cookie", "header", "long"]) {
    test(`a session's ${kind} leads back to its backend`, async () => {
      const where = `/${kind}`;
      const tokenOf = ({ fields }: HttpAnswer): string =>
        kind === "header"
          ? valueOf(fields, "im-session")
          : (/^im-session=([^;]+)/.exec(valueOf(fields, "set-cookie"))?.[1] ?? "");
      const first = await rig.answer(at("sessions", where));
      const token = tokenOf(first);
      assert.notEqual(token, "");
      const lasts = valueOf(first.fields, "set-cookie").includes("Max-Age=3600");
      assert.equal(lasts, kind === "long");
      const headers: Record<string, string> =
        kind === "header" ? { "im-session": token } : { cookie: `a=1; im-session=${token}` };
      const again = await rig.callMany(at("sessions", where, { headers }), { ...MANY, count: 20 });
      assert.deepEqual(countPods(again), { [seenBy(first).pod]: 20 });
      assert.equal(tokenOf(answered(again[0] ?? assert.fail())), "");
      const strangers = await rig.callMany(at("sessions", where), { ...MANY, count: 60 });
      assert(Object.keys(countPods(strangers)).length > 1);
    });
  }

  test("a session cannot choose an address that is no endpoint of its rule", async () => {
    const forged = Buffer.from(`1 ${Date.now()} ${rig.pod(FRONT_POD).addresses.ip}:8080`);
    const cookie = `im-session=${forged.toString("base64url")}`;
    const answer = await rig.answer(at("sessions", "/cookie", { headers: { cookie } }));
    assert.notEqual(seenBy(answer).pod, FRONT_POD);
  });

  test("a grant that goes is obeyed within two seconds, and one that comes", async () => {
    assert.equal(seenBy(await rig.answer(at("granted"))).pod, V3_POD);
    const is = (status: number) => async (): Promise<boolean> =>
      (await rig.answer(at("granted"))).status === status;
    await rig.remove("grant");
    await until("the grant gone", is(500), 2_000);
    await rig.put("grant", [VAULT_GRANT]);
    await until("the grant back", is(200), 2_000);
  });

  test("a pod that is called by its own address is no Service: no route", async () => {
    const routed = await rig.answer(at("bypass"));
    assert.equal(valueOf(routed.fields, "x-routed"), "yes");
    const { ip: address } = rig.pod(V1_POD).addresses;
    const direct = await rig.answer({ address, port: HTTP1_PORT });
    assert.equal(valueOf(direct.fields, "x-routed"), "");
    assert.equal(valueOf(seenBy(direct).fields, "x-request-id"), "");
  });

  test("the last route goes under load: the Service's own pods answer, no request fails", async () => {
    const load = rig.callMany(at("passing", "/a"), { count: 600, parallel: 4, reuse: false });
    await rig.stage({ ...stage("passing"), routes: [] });
    await until("the route gone", async () => {
      return seenBy(await rig.answer(at("passing", "/a"))).pod === FRONT_POD;
    });
    const { [V1_POD]: _v1, [FRONT_POD]: _front, ...others } = countPods(await load);
    assert.deepEqual(others, {});
  });
});
