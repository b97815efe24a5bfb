// A reflector, a fake API server and a clock that a test turns. For tests only.

import assert from "node:assert/strict";
import { setTimeout as realSleep } from "node:timers/promises";
import { type FakeClock, makeFakeClock } from "../clock/fake-clock.ts";
import type { JsonRecord } from "./api/fields.ts";
import { makeKubeClient } from "./client.ts";
import { type FakeApiOptions, FakeApiServer } from "./fake-api-server.ts";
import type { FakeWatch } from "./fake-api-watch.ts";
import { runApiSource } from "./source/api-source.ts";
import { type Kind, type KubeStore, makeStore } from "./store.ts";
import type { WatchReport } from "./watch-report.ts";

export const SERVICES = "/api/v1/services";

export interface ReflectorRig {
  readonly server: FakeApiServer;
  readonly store: KubeStore;
  readonly clock: FakeClock;
  readonly reports: readonly WatchReport[];
  /** Names of the Services in the store, sorted. */
  readonly names: () => readonly string[];
  /** The newest open watch of Services. */
  readonly watch: () => FakeWatch;
  /** Lets real I/O happen until `holds`; the fake clock stands still. */
  readonly eventually: (holds: () => boolean) => Promise<void>;
  /** Turns the fake clock in steps of 500 ms until `holds`. @returns how far it was turned */
  readonly turnUntil: (holds: () => boolean) => Promise<number>;
}

export interface RigOptions extends FakeApiOptions {
  /** @default Services only */
  readonly kinds?: readonly Kind[];
  readonly before?: (server: FakeApiServer) => void;
}

/** Runs a test's body against a fresh rig and takes it down again. */
export async function withReflector(
  options: RigOptions,
  body: (rig: ReflectorRig) => Promise<void>,
): Promise<void> {
  const { kinds = ["Service"], before } = options;
  const server = await FakeApiServer.start(options);
  before?.(server);
  const clock = makeFakeClock();
  const store = makeStore(kinds);
  const reports: WatchReport[] = [];
  const stop = new AbortController();
  const client = makeKubeClient(
    { server: server.url, token: { kind: "none" }, insecureSkipTlsVerify: false },
    clock,
  );
  const running = runApiSource({
    client,
    nodeName: "node-a",
    store,
    clock,
    random: () => 0.5,
    signal: stop.signal,
    onEvent: (report) => reports.push(report),
    kinds,
  });
  const rig: ReflectorRig = {
    server,
    store,
    clock,
    reports,
    names: () => [...store.services.values()].map(({ name }) => name).sort(),
    watch: () => newest(server.watches(SERVICES)),
    eventually: (holds) => repeat(holds, () => realSleep(1)),
    async turnUntil(holds) {
      const startMs = clock.monotonicMs();
      await repeat(holds, async () => {
        await clock.advance(500);
        await realSleep(1);
      });
      return clock.monotonicMs() - startMs;
    },
  };
  try {
    await body(rig);
  } finally {
    stop.abort();
    await running;
    client.close();
    await server.close();
  }
}

export function serviceNamed(name: string, port = 80): JsonRecord {
  const spec = { clusterIP: "10.96.0.10", ports: [{ port }] };
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec };
}

/** Real I/O takes some turns of the real event loop; this many milliseconds are ample. */
const PATIENCE_STEPS = 10_000;

async function repeat(holds: () => boolean, step: () => Promise<void>): Promise<void> {
  for (let i = 0; !holds(); i++) {
    assert.ok(i < PATIENCE_STEPS, `never came true: ${holds.toString()}`);
    await step();
  }
}

function newest(watches: readonly FakeWatch[]): FakeWatch {
  const watch = watches.at(-1);
  assert.ok(watch, "a watch is open");
  return watch;
}
