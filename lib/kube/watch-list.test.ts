// Lists under faults: streamed or paged, none is taken before it is complete.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVICES, serviceNamed, withReflector } from "./fake-api-rig.ts";
import type { FakeApiServer } from "./fake-api-server.ts";
import { FORBIDDEN_PATIENCE_MS } from "./watch.ts";

const CIDRS = "/apis/networking.k8s.io/v1/servicecidrs";

const manyServices = (server: FakeApiServer): void => {
  for (let i = 0; i < 1_200; i++) server.put(serviceNamed(`service-${i}`));
};

test("a server without WatchList is asked once and then listed by pages", async () => {
  await withReflector({ watchList: false, before: manyServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    assert.equal(rig.store.services.size, 1_200);
    await rig.eventually(() => rig.server.watches(SERVICES).length === 1);
    const verbs = rig.server.requests.map(({ query }) => query["limit"] ?? "watch");
    assert.deepEqual(verbs, ["watch", "500", "500", "500", "watch"]);
  });
});

test("F7: a list that fails on page 3 is never applied", async () => {
  const before = (server: FakeApiServer): void => {
    manyServices(server);
    const fault = { kind: "status", code: 500 } as const;
    server.inject({ path: SERVICES, verb: "list", page: 3, times: 1, fault });
  };
  await withReflector({ watchList: false, before }, async (rig) => {
    await rig.eventually(() => rig.reports.some(({ why }) => why?.includes("500")));
    assert.equal(rig.store.services.size, 0);
    assert.equal(rig.store.synced, false);
    await rig.turnUntil(() => rig.store.synced);
    assert.equal(rig.store.services.size, 1_200);
  });
});

test("F7: a continue token that expires between pages leads to one whole list", async () => {
  const before = (server: FakeApiServer): void => {
    manyServices(server);
    const fault = { kind: "status", code: 410 } as const;
    server.inject({ path: SERVICES, verb: "list", page: 2, times: 1, fault });
  };
  await withReflector({ watchList: false, before }, async (rig) => {
    await rig.turnUntil(() => rig.store.synced);
    assert.equal(rig.store.services.size, 1_200);
    assert.equal(rig.server.requests.filter(({ query }) => "limit" in query).length, 2);
  });
});

test("a streamed list that breaks off is not applied, and pages take over once", async () => {
  const before = (server: FakeApiServer): void => {
    manyServices(server);
    server.endNextListAfter(300);
  };
  await withReflector({ before }, async (rig) => {
    await rig.eventually(() => rig.reports.some(({ kind }) => kind === "failed"));
    assert.equal(rig.store.services.size, 0);
    await rig.turnUntil(() => rig.store.synced);
    assert.equal(rig.store.services.size, 1_200);
    assert.ok(rig.server.requests.some(({ query }) => "limit" in query));
    await rig.eventually(() => rig.server.watches(SERVICES).length === 1);
    rig.watch().sendError(410, "Expired");
    await rig.turnUntil(() => rig.reports.filter(({ kind }) => kind === "listed").length === 2);
    assert.equal(rig.server.requests.at(-1)?.query["sendInitialEvents"], "true");
  });
});

test("F8: Retry-After is honoured", async () => {
  const before = (server: FakeApiServer): void => {
    const fault = { kind: "status", code: 429, retryAfterSeconds: 7 } as const;
    server.inject({ path: SERVICES, verb: "watch", times: 1, fault });
  };
  await withReflector({ before }, async (rig) => {
    const tookMs = await rig.turnUntil(() => rig.store.synced);
    assert.ok(tookMs >= 7_000 && tookMs <= 9_000, `took ${tookMs} ms`);
  });
});

for (const code of [404, 403]) {
  test(`a cluster that answers ${code} for ServiceCIDRs has none`, async () => {
    const before = (server: FakeApiServer): void => {
      const fault = { kind: "status", code } as const;
      // Six tries take 7.75 s here: a role that is missing is told from a server that starts.
      server.inject({ path: CIDRS, verb: "watch", times: code === 404 ? 1 : 6, fault });
    };
    await withReflector({ kinds: ["ServiceCIDR"], before }, async (rig) => {
      const tookMs = await rig.turnUntil(() => rig.store.synced);
      assert.equal(tookMs >= FORBIDDEN_PATIENCE_MS, code === 403);
      assert.equal(rig.store.serviceCidrs.size, 0);
      assert.equal(rig.reports.at(-1)?.kind, "absent");
      const metadata = { name: "later" };
      rig.server.put({ kind: "ServiceCIDR", metadata, spec: { cidrs: ["10.96.0.0/16"] } });
      await rig.turnUntil(() => rig.store.serviceCidrs.has("later"));
    });
  });
}

test("what a server forbids while it starts is no empty list", async () => {
  const before = (server: FakeApiServer): void => {
    const fault = { kind: "status", code: 403 } as const;
    server.inject({ path: CIDRS, verb: "watch", times: 2, fault });
    const metadata = { name: "kubernetes" };
    server.put({ kind: "ServiceCIDR", metadata, spec: { cidrs: ["10.96.0.0/16"] } });
  };
  await withReflector({ kinds: ["ServiceCIDR"], before }, async (rig) => {
    await rig.turnUntil(() => rig.store.synced);
    assert.equal(rig.store.serviceCidrs.size, 1);
  });
});

test("a Service that can no longer be read keeps its last readable form", async () => {
  await withReflector({ before: (server) => server.put(serviceNamed("web")) }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    rig.server.put({ kind: "Service", metadata: { name: "web" }, spec: { clusterIP: "nonsense" } });
    await rig.eventually(() => rig.store.problems.has("Service default/web"));
    assert.equal(rig.store.services.get("default/web")?.ports[0]?.port, 80);
    rig.watch().sendError(410, "Expired");
    await rig.turnUntil(() => rig.reports.filter(({ kind }) => kind === "listed").length === 2);
    assert.equal(rig.store.services.get("default/web")?.ports[0]?.port, 80);
    rig.server.put(serviceNamed("web", 81));
    await rig.eventually(() => rig.store.services.get("default/web")?.ports[0]?.port === 81);
    assert.deepEqual([...rig.store.problems], []);
    rig.server.remove({ kind: "Service", name: "web" });
    await rig.eventually(() => rig.store.services.size === 0);
  });
});

test("problems of Services that are gone from a new list are cleared", async () => {
  const before = (server: FakeApiServer): void => {
    server.put({ kind: "Service", metadata: { name: "bad" }, spec: { clusterIP: "nonsense" } });
  };
  await withReflector({ before }, async (rig) => {
    await rig.eventually(() => rig.store.problems.has("Service default/bad"));
    rig.watch().stall();
    rig.server.remove({ kind: "Service", name: "bad" });
    rig.server.state.compact();
    await rig.turnUntil(() => rig.store.problems.size === 0);
  });
});
