// Watches under faults: what the server and the network may do without harm.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ReflectorRig, SERVICES, serviceNamed, withReflector } from "./fake-api-rig.ts";
import type { FakeApiServer } from "./fake-api-server.ts";
import { RENEW_AFTER_MS, RENEW_JITTER_MS, RETRY } from "./watch.ts";

const twoServices = (server: FakeApiServer): void => {
  server.put(serviceNamed("web"));
  server.put(serviceNamed("db"));
};

/** Fails as soon as the store lacks a Service, however briefly. */
function watchOver({ store, names }: ReflectorRig, name: string): void {
  store.onChange(() => assert.ok(names().includes(name), `${name} vanished`));
}

test("F1: while the API server is down the store keeps all, and the age of data shows", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    const { server, store, reports } = rig;
    await rig.eventually(() => store.synced);
    server.inject({ path: SERVICES, verb: "watch", times: 20, fault: { kind: "reset" } });
    rig.watch().cut();
    await rig.turnUntil(() => reports.filter(({ kind }) => kind === "failed").length > 15);
    assert.deepEqual(rig.names(), ["db", "web"]);
    server.put(serviceNamed("new"));
    const healedAfterMs = await rig.turnUntil(() => rig.names().includes("new"));
    assert.ok(healedAfterMs <= 60_000, `took ${healedAfterMs} ms`);
    assert.equal(reports.at(-1)?.kind, "current");
  });
});

test("after the last failed try a healed server is found within 10 s", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    rig.server.inject({ path: SERVICES, verb: "watch", times: 12, fault: { kind: "reset" } });
    rig.watch().cut();
    await rig.turnUntil(() => rig.reports.filter(({ kind }) => kind === "failed").length === 13);
    const healedAfterMs = await rig.turnUntil(() => rig.server.watches(SERVICES).length > 0);
    assert.ok(healedAfterMs <= 10_000, `took ${healedAfterMs} ms`);
  });
});

test("an outage that is long over makes the next one no longer", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    rig.server.inject({ path: SERVICES, verb: "watch", times: 12, fault: { kind: "reset" } });
    rig.watch().cut();
    await rig.turnUntil(() => rig.reports.filter(({ kind }) => kind === "failed").length === 13);
    await rig.turnUntil(() => rig.server.watches(SERVICES).length > 0);
    const healedMs = rig.clock.monotonicMs();
    const quietMs = RENEW_AFTER_MS + RENEW_JITTER_MS;
    await rig.turnUntil(() => rig.clock.monotonicMs() - healedMs > quietMs);
    const asked = rig.server.requests.length;
    rig.watch().cut();
    const backAfterMs = await rig.turnUntil(() => rig.server.requests.length > asked);
    assert.ok(backAfterMs <= 2 * RETRY.minMs, `took ${backAfterMs} ms`);
  });
});

for (const how of ["HTTP status", "ERROR event"] as const) {
  test(`F3: a 410 as ${how} lists anew and removes nothing that is still there`, async () => {
    await withReflector({ before: twoServices }, async (rig) => {
      const { server, store } = rig;
      await rig.eventually(() => store.synced);
      watchOver(rig, "web");
      const open = rig.watch();
      if (how === "HTTP status") open.cut();
      server.state.compact();
      open.stall();
      server.remove({ kind: "Service", name: "db" });
      server.put(serviceNamed("new"));
      server.state.compact();
      if (how === "ERROR event") {
        server.inject({ path: SERVICES, verb: "watch", times: 1, fault: { kind: "reset" } });
        open.resume();
        open.sendError(410, "Expired");
      }
      await rig.turnUntil(() => rig.names().join() === "new,web");
      assert.equal(rig.reports.filter(({ kind }) => kind === "listed").length, 2);
    });
  });
}

test("F4: a watch that fell silent is made up for within 60 s", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    rig.watch().stall();
    rig.server.put(serviceNamed("new"));
    const tookMs = await rig.turnUntil(() => rig.names().includes("new"));
    assert.ok(tookMs <= 60_000, `took ${tookMs} ms`);
    await rig.turnUntil(() => rig.reports.some(({ why }) => why?.includes("fell silent")));
    assert.ok(rig.clock.monotonicMs() <= 60_000, `told after ${rig.clock.monotonicMs()} ms`);
  });
});

test("a server that no longer answers at all is told within 60 s", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    rig.server.inject({ path: SERVICES, verb: "watch", times: 99, fault: { kind: "silence" } });
    rig.watch().stall();
    await rig.turnUntil(() => rig.reports.some(({ kind }) => kind === "failed"));
    assert.ok(rig.clock.monotonicMs() <= 60_000);
    assert.deepEqual(rig.names(), ["db", "web"]);
  });
});

test("the next watch is open before the last one ends, so quiet hours have no gap", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    const { server, reports } = rig;
    await rig.eventually(() => rig.store.synced);
    for (let round = 0; round < 3; round++) {
      const last = rig.watch();
      await rig.turnUntil(() => rig.watch() !== last);
      assert.ok(server.watches(SERVICES).includes(last), "the old watch is still open");
      last.end();
      server.put(serviceNamed(`round-${round}`));
      await rig.eventually(() => rig.names().includes(`round-${round}`));
    }
    assert.deepEqual(
      reports.filter(({ kind }) => kind === "failed"),
      [],
    );
    assert.equal(reports.filter(({ kind }) => kind === "listed").length, 1);
  });
});

test("F5: after garbage on the wire the watch resumes and loses nothing", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    watchOver(rig, "web");
    rig.server.put(serviceNamed("first"));
    await rig.eventually(() => rig.names().includes("first"));
    const open = rig.watch();
    open.write("%%% not JSON %%%\n");
    open.stall();
    rig.server.put(serviceNamed("second"));
    await rig.turnUntil(() => rig.names().includes("second"));
    assert.equal(rig.reports.filter(({ kind }) => kind === "listed").length, 1);
  });
});

test("F5: a resumed watch that is garbage from the start leads to a new list", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    watchOver(rig, "web");
    const listed = rig.watch();
    listed.cut();
    await rig.turnUntil(() => rig.server.watches(SERVICES).length === 1 && rig.watch() !== listed);
    rig.watch().write('{"type": 7}\n');
    await rig.turnUntil(() => rig.reports.filter(({ kind }) => kind === "listed").length === 2);
  });
});

test("F5: an event cut in two by a lost connection is asked for again", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    const open = rig.watch();
    open.write('{"type":"ADDED","object":{"metadata":{"na');
    open.stall();
    rig.server.put(serviceNamed("new"));
    open.cut();
    await rig.turnUntil(() => rig.names().includes("new"));
  });
});

test("F5: unknown event types and kinds change nothing and end nothing", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    await rig.eventually(() => rig.store.synced);
    const open = rig.watch();
    open.sendEvent("SPARKLE", '{"metadata":{"name":"web"}}');
    open.sendEvent("MODIFIED", '{"kind":"Pod","metadata":{"name":"web","resourceVersion":"9999"}}');
    rig.server.put(serviceNamed("new"));
    await rig.eventually(() => rig.names().includes("new"));
    assert.equal(rig.watch(), open);
    assert.match(rig.store.problems.get("Service")?.[0]?.message ?? "", /want Service: got "Pod"/);
  });
});

test("F6: doubled, late and rewound events bring nothing back", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    const { server, store } = rig;
    await rig.eventually(() => store.synced);
    const open = rig.watch();
    const old = JSON.stringify(server.put(serviceNamed("web", 81)));
    server.put(serviceNamed("web", 82));
    const lastLife = JSON.stringify(server.put(serviceNamed("gone")));
    server.remove({ kind: "Service", name: "gone" });
    open.sendEvent("MODIFIED", old);
    open.sendEvent("DELETED", old);
    open.sendEvent("ADDED", lastLife);
    server.put(serviceNamed("end"));
    await rig.eventually(() => rig.names().includes("end"));
    assert.deepEqual(rig.names(), ["db", "end", "web"]);
    assert.equal(store.services.get("default/web")?.ports[0]?.port, 82);
  });
});

test("a bookmark that stays older means a restored etcd, and a new list is the truth", async () => {
  await withReflector({ before: twoServices }, async (rig) => {
    const { server, store } = rig;
    await rig.eventually(() => store.synced);
    server.state.rewind(10);
    const sendOldBookmark = async (): Promise<void> => {
      rig.watch().sendBookmark(server.state.version, false);
      await rig.clock.advance(500);
    };
    server.remove({ kind: "Service", name: "db" });
    for (let i = 0; i < 80; i++) await sendOldBookmark();
    await rig.turnUntil(() => rig.names().join() === "web");
  });
});

test("a server that is only behind for a while is not believed", async () => {
  await withReflector({ watchList: false, before: twoServices }, async (rig) => {
    const { server, store } = rig;
    await rig.eventually(() => store.synced && server.watches(SERVICES).length > 0);
    server.state.compact();
    const versionBefore = server.state.version;
    server.state.rewind(10);
    server.remove({ kind: "Service", name: "db" });
    const fault = { kind: "status", code: 410 } as const;
    server.inject({ path: SERVICES, verb: "watch", times: 1, fault });
    rig.watch().cut();
    await rig.turnUntil(() => rig.reports.some(({ why }) => why?.includes("is before")));
    assert.deepEqual(rig.names(), ["db", "web"]);
    server.state.rewind(versionBefore + 100);
    await rig.turnUntil(() => rig.names().join() === "web");
    assert.ok(rig.clock.monotonicMs() < 30_000);
  });
});
