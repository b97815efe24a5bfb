// Routes and meshes of a fake API server, watched and told as the controller does it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as realSleep } from "node:timers/promises";
import { type FakeClock, makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { asList, asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import { type FakeApiOptions, FakeApiServer } from "../../lib/kube/fake-api-server.ts";
import { runApiSource } from "../../lib/kube/source/api-source.ts";
import { StatusBook } from "../../lib/kube/status-book.ts";
import { RESYNC_MS } from "../../lib/kube/status-loop.ts";
import { type Kind, makeStore } from "../../lib/kube/store.ts";
import { MESH_FEATURES } from "../model/mesh-features.ts";
import { CONTROLLER_NAME } from "../model/route-status.ts";
import { type RouteStatusEvent, runRouteStatus } from "./route-status.ts";

const KINDS: readonly Kind[] = ["Service", "HTTPRoute", "TCPRoute", "ReferenceGrant", "XMesh"];
const ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes";
const MESHES = "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes";

interface Rig {
  readonly server: FakeApiServer;
  readonly clock: FakeClock;
  readonly term: AbortController;
  readonly ended: Promise<void>;
  readonly events: readonly RouteStatusEvent[];
  holds: boolean;
  /** Turns the clock in small steps until `check` throws no more. */
  readonly eventually: (check: () => void) => Promise<void>;
  /** Lets time pass, and real I/O with it. */
  readonly pass: (durationMs: number) => Promise<void>;
  /** `type status reason` of our entries of a route, by parent. */
  readonly told: (name: string) => readonly string[];
}

async function withRig(
  options: FakeApiOptions,
  before: (server: FakeApiServer) => void,
  body: (rig: Rig) => Promise<void>,
): Promise<void> {
  const server = await FakeApiServer.start(options);
  before(server);
  const clock = makeFakeClock();
  const client = makeKubeClient(
    { server: server.url, token: { kind: "none" }, insecureSkipTlsVerify: false },
    clock,
  );
  const [stop, term] = [new AbortController(), new AbortController()];
  const [store, book] = [makeStore(KINDS), new StatusBook()];
  const events: RouteStatusEvent[] = [];
  const chance = { clock, random: () => 0.5 };
  const reading = runApiSource({
    ...chance,
    client,
    nodeName: "",
    store,
    signal: stop.signal,
    kinds: KINDS,
    adapt: (resource) => book.noting(resource),
    onEvent: () => {},
  });
  const ended = runRouteStatus(
    { signal: term.signal, holds: () => rig.holds },
    { store, book, client, ...chance, onEvent: (event) => events.push(event) },
  );
  const pass = async (durationMs: number): Promise<void> => {
    for (let passedMs = 0; passedMs < durationMs; passedMs += 100) {
      await clock.advance(Math.min(100, durationMs - passedMs));
      await realSleep(1);
    }
  };
  const rig: Rig = {
    server,
    clock,
    term,
    ended,
    events,
    holds: true,
    pass,
    async eventually(check) {
      for (let step = 0; ; step++) {
        try {
          return check();
        } catch (error) {
          if (step === 1_000) throw error;
          await pass(100);
        }
      }
    },
    told: (name) => parentsOf(server, name).filter(isOurs).flatMap(formatParent),
  };
  try {
    await body(rig);
  } finally {
    stop.abort();
    term.abort();
    await Promise.all([reading, ended]);
    client.close();
    await server.close();
  }
}

function parentsOf(server: FakeApiServer, name: string): readonly JsonRecord[] {
  const status = server.state.objects(ROUTES).get(`default/${name}`)?.value["status"];
  return asList(asRecord(status)["parents"]).map(asRecord);
}

function isOurs({ controllerName }: JsonRecord): boolean {
  return controllerName === CONTROLLER_NAME;
}

function formatParent({ parentRef, conditions }: JsonRecord): readonly string[] {
  const parent = asText(asRecord(parentRef)["name"]);
  return asList(conditions).map((value) => {
    const { type, status, reason } = asRecord(value);
    return `${parent}: ${asText(type)} ${asText(status)} ${asText(reason)}`;
  });
}

function service(name: string): JsonRecord {
  const spec = { clusterIP: "10.96.0.10", ports: [{ port: 80 }] };
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec };
}

function route(name: string, backend: string, more: JsonRecord = {}): JsonRecord {
  const parentRefs = [{ group: "", kind: "Service", name: "web" }];
  const rules = [{ backendRefs: [{ name: backend, port: 80 }] }];
  const metadata = { name, generation: 1 };
  return { kind: "HTTPRoute", metadata, spec: { parentRefs, rules, ...more } };
}

function statusWrites(server: FakeApiServer): readonly string[] {
  return server.writes.map(({ path }) => path.replace(/^.*\/(\w+\/[\w-]+)\/status$/, "$1"));
}

const GOOD = ["web: Accepted True Accepted", "web: ResolvedRefs True ResolvedRefs"];
const BROKEN = ["web: Accepted True Accepted", "web: ResolvedRefs False BackendNotFound"];

test("a route is told once, and again when what it refers to changes", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "later"));
    },
    async ({ server, eventually, pass, told }) => {
      await eventually(() => assert.deepEqual(told("r"), BROKEN));
      await pass(5_000);
      assert.deepEqual(statusWrites(server), ["httproutes/r"]);
      server.put(service("later"));
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      await pass(5_000);
      assert.equal(server.writes.length, 2);
    },
  );
});

test("routes of Gateways are none of ours, and are not touched", async () => {
  await withRig(
    {},
    (server) => server.put(route("r", "web", { parentRefs: [{ name: "gateway" }] })),
    async ({ server, pass }) => {
      await pass(5_000);
      assert.deepEqual(server.writes, []);
    },
  );
});

test("an entry that someone took away comes back, and entries of others stay", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
    },
    async ({ server, eventually, told }) => {
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      const foreign = { controllerName: "example.com/x", parentRef: {}, conditions: [] };
      server.put({ ...route("r", "web"), status: { parents: [foreign] } });
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      assert.deepEqual(parentsOf(server, "r")[0], foreign);
    },
  );
});

test("one hostile route after the other: each is told or left, and the good one is told", async () => {
  const many = Array.from({ length: 5_000 }, (_, i) => ({
    group: "",
    kind: "Service",
    name: `s${i}`,
  }));
  const regex = { path: { type: "RegularExpression", value: "(" } };
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("parents", "web", { parentRefs: many }));
      server.put(route("nothing", "web", { parentRefs: 7, rules: "x" }));
      server.put(route("refs", "web", { rules: [{ backendRefs: [{ name: 7 }, null, []] }] }));
      server.put(route("regex", "web", { rules: [{ matches: [regex] }] }));
      server.put({ ...route("status", "web"), status: 7 });
      server.put({ ...route("entries", "web"), status: { parents: [7, null, { conditions: 7 }] } });
      server.put({ kind: "HTTPRoute", metadata: { name: "empty" } });
      server.put(route("good", "web"));
    },
    async ({ server, eventually, pass, told }) => {
      await eventually(() => {
        for (const name of ["good", "status", "entries"]) assert.deepEqual(told(name), GOOD, name);
        assert.match(told("regex").join(), /Accepted False UnsupportedValue/);
        assert.match(told("refs").join(), /Accepted False/);
      });
      assert.deepEqual(parentsOf(server, "entries").slice(0, 2), [{}, {}], "kept as they are");
      const writes = server.writes.length;
      await pass(10_000);
      assert.equal(server.writes.length, writes);
    },
  );
});

test("before everything was listed once nothing is written", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
      const fault = { kind: "status", code: 500 } as const;
      server.inject({ path: "/api/v1/services", verb: "watch", times: 8, fault });
      server.inject({ path: "/api/v1/services", verb: "list", times: 8, fault });
    },
    async ({ server, eventually, told }) => {
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      assert.equal(server.writes.length, 1, "no route was told that there is no Service");
    },
  );
});

test("a cluster without the Gateway API is waited for", async () => {
  const absent = [ROUTES, MESHES];
  await withRig(
    { absent },
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
    },
    async ({ server, eventually, pass, told }) => {
      await pass(1_000);
      assert.deepEqual(server.writes, []);
      absent.length = 0;
      await eventually(() => assert.deepEqual(told("r"), GOOD));
    },
  );
});

test("a mesh of ours is accepted unless it wants parameters; one of others is left alone", async () => {
  const mesh = (name: string, spec: JsonRecord): JsonRecord => ({
    kind: "XMesh",
    metadata: { name, generation: 3 },
    spec,
  });
  const parametersRef = { group: "", kind: "ConfigMap", name: "x" };
  await withRig(
    {},
    (server) => {
      server.put(mesh("ours", { controllerName: CONTROLLER_NAME }));
      server.put(mesh("asks", { controllerName: CONTROLLER_NAME, parametersRef }));
      server.put(mesh("theirs", { controllerName: "example.com/x" }));
    },
    async ({ server, eventually, pass }) => {
      const statusOf = (name: string): JsonRecord =>
        asRecord(server.state.objects(MESHES).get(name)?.value["status"]);
      const acceptance = (name: string): JsonRecord =>
        asRecord(asList(statusOf(name)["conditions"])[0]);
      await eventually(() => {
        assert.equal(acceptance("ours")["status"], "True");
        assert.equal(acceptance("asks")["reason"], "InvalidParameters");
      });
      assert.equal(acceptance("ours")["observedGeneration"], 3);
      const features = asList(statusOf("ours")["supportedFeatures"]).map(asRecord);
      assert.deepEqual(
        features.map(({ name }) => name),
        MESH_FEATURES.map(({ name }) => name),
      );
      await pass(5_000);
      assert.equal(server.writes.length, 2);
    },
  );
});

test("the list of features is as the API wants it: sorted, without doubles, at most 64", () => {
  const names = MESH_FEATURES.map(({ name }) => name);
  assert.deepEqual(names, [...new Set(names)].toSorted());
  assert.ok(names.length <= 64);
});

test("F11: a leadership that no longer holds lets nothing leave", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
    },
    async (rig) => {
      rig.holds = false;
      await rig.pass(5_000);
      assert.deepEqual(rig.server.writes, []);
      rig.term.abort();
      await rig.ended;
    },
  );
});

test("everything is looked at again now and then, also when no event asks for it", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
    },
    async ({ server, clock, events, eventually, pass, told }) => {
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      await pass(5_000);
      const looks = (): number => events.filter(({ kind }) => kind === "unchanged").length;
      const before = looks();
      await clock.advance(RESYNC_MS);
      await eventually(() => assert.equal(looks(), before + 1));
      assert.equal(server.writes.length, 1);
    },
  );
});

test("a write that the server refuses is tried again later", async () => {
  await withRig(
    {},
    (server) => {
      server.put(service("web"));
      server.put(route("r", "web"));
      const path = `${ROUTES.replace("httproutes", "namespaces/default/httproutes")}/r/status`;
      const fault = { kind: "status", code: 422 } as const;
      server.inject({ path, verb: "patch", times: 3, fault });
    },
    async ({ events, eventually, told }) => {
      await eventually(() => assert.deepEqual(told("r"), GOOD));
      assert.equal(events.filter(({ kind }) => kind === "failed").length, 3);
    },
  );
});
