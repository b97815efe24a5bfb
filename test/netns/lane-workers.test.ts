// Proxy workers die and freeze: that costs their own connections and nobody else's (fault F21).
// What they may do on the node, and what they know.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { LoadReport } from "../../playground/probe-protocol.ts";
import { allLive, close, LaneLife, lostNothing, PLAIN, PROXIED } from "./lane-life.ts";
import { MemoryGroup } from "./memory-group.ts";
import { until } from "./served-node.ts";

const CAP_NET_ADMIN = 1n << 12n;
const CAP_NET_RAW = 1n << 13n;
/** Connections that stood, or were being made, at the moment of a death. */
const AROUND_MS = 500;
/** After so long without a sign of life a worker is replaced; twice that on a busy machine. */
const FROZEN_MS = 3_000;
const MEMORY_BYTES = 96 << 20;
const CONNECTIONS = 5_000;
const BATCH = 100;
const SENDERS = ["client", "pod-1-1", "node-1"];

describe("proxy workers", () => {
  let life: LaneLife;
  before(async () => {
    life = await LaneLife.build(1);
  });
  afterEach(() => life.quiet());
  after(() => life[Symbol.asyncDispose]());

  /** Both lanes under load while `harm` is done after 500 ms. */
  async function harmed(harm: () => Promise<void>): Promise<readonly LoadReport[]> {
    const plain = life.load("client", PLAIN, 100);
    const loads = SENDERS.map((sender) => life.load(sender, PROXIED, 100));
    await delay(500);
    await harm();
    await lostNothing(plain);
    return Promise.all(loads.map((load) => load.stop()));
  }

  test("F21: a worker's death costs its connections; new ones are served at once", async (t) => {
    const connections = await life.connect();
    const [pid] = life.workers();
    assert(pid !== undefined);
    const reports = await harmed(async () => {
      process.kill(pid, "SIGKILL");
      const ms = await until("a new worker", () => {
        const workers = life.workers();
        return workers.length === 1 && !workers.includes(pid);
      });
      await life.rig.agent.proxying();
      t.diagnostic(`a new worker after ${ms.toFixed(0)} ms`);
      await delay(2_000);
    });
    for (const [index, { started, failed, failures }] of reports.entries()) {
      const times = failures.map(({ startMs }) => startMs);
      const gapMs = Math.max(0, ...times) - Math.min(...times, Number.POSITIVE_INFINITY);
      t.diagnostic(
        `${SENDERS[index]}: ${failed} of ${started} lost, within ${gapMs.toFixed(0)} ms`,
      );
      assert(failed === 0 || gapMs < AROUND_MS, JSON.stringify(failures));
      assert(started > 250);
    }
    const answers = connections.map((connection) => connection.say("still there?"));
    for (const answer of await Promise.all(answers)) assert.notEqual(answer.kind, "reply");
    const others = await life.connect();
    await allLive(others);
    await close([...connections, ...others]);
  });

  test("a worker that freezes is replaced after three seconds", async (t) => {
    const [pid] = life.workers();
    assert(pid !== undefined);
    const reports = await harmed(async () => {
      process.kill(pid, "SIGSTOP");
      const ms = await until("a new worker", () => !life.workers().includes(pid));
      t.diagnostic(`replaced after ${ms.toFixed(0)} ms`);
      await life.rig.agent.proxying();
      await delay(1_000);
    });
    for (const [index, { started, failed, failures }] of reports.entries()) {
      const lastMs = failures.at(-1)?.startMs ?? 0;
      t.diagnostic(`${SENDERS[index]}: ${failed} of ${started}, the last after ${lastMs} ms`);
      assert(lastMs < 500 + 2 * FROZEN_MS + AROUND_MS, `lost at ${lastMs} ms`);
    }
  });

  test("F25: a worker with 96 MiB of memory carries thousands of connections", async (t) => {
    const [pid] = life.workers();
    assert(pid !== undefined);
    await using group = await MemoryGroup.make("im-lane-workers", MEMORY_BYTES);
    // Memory is counted where it was asked for: the next worker starts inside.
    await group.holding(life.rig.agent.pid, async () => {
      process.kill(pid, "SIGKILL");
      await until("a new worker", () => life.workers().some((other) => other !== pid));
    });
    const [limited] = life.workers();
    await life.rig.agent.proxying();
    const { address, port } = life.rig.address("cluster", PROXIED, "ip");
    const connections = [];
    for (let n = 0; n < CONNECTIONS; n += BATCH) {
      const opening = Array.from({ length: BATCH }, (_, k) =>
        life.rig.probe(SENDERS[k % 2] ?? "client").open(address, port, { timeoutMs: 5_000 }),
      );
      for (const opened of await Promise.all(opening)) {
        connections.push(opened.kind === "open" ? opened : assert.fail(opened.kind));
      }
    }
    const text = "x".repeat(2_000);
    const answers = connections.map((connection) => connection.say(text, 10_000));
    const echoed = (await Promise.all(answers)).filter(({ kind }) => kind === "reply");
    t.diagnostic(`${CONNECTIONS} connections, ${(await group.mostBytes()) >> 20} MiB at most`);
    assert.equal(echoed.length, CONNECTIONS);
    assert.deepEqual(life.workers(), [limited], "it was not killed");
    await close(connections);
  });

  test("a worker may open transparent sockets, and nothing else", () => {
    const [pid = 0] = life.workers();
    assert.deepEqual(privileges(pid), { held: CAP_NET_RAW, isFinal: true });
  });

  test("where NET_RAW is missing a worker keeps NET_ADMIN, which allows them too", async () => {
    const program = fileURLToPath(new URL("../../roles/proxy-worker.ts", import.meta.url));
    const argv = ["--bounding-set=-net_raw", process.execPath, program];
    const child = spawn("setpriv", argv, { stdio: ["ignore", "ignore", "ignore", "pipe"] });
    const { pid = 0 } = child;
    await until("its second start", () =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--unprivileged"),
    );
    assert.deepEqual(privileges(pid), { held: CAP_NET_ADMIN, isFinal: true });
    child.stdio[3]?.destroy();
    await once(child, "exit");
  });

  test("a worker's environment names no server and no token", () => {
    const [pid] = life.workers();
    const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    const names = environment.filter((line) => line !== "").map((line) => line.split("=")[0] ?? "");
    const allowed = /^(PATH|NODE_COMPILE_CACHE|MALLOC_\w+)$/;
    assert.deepEqual(
      names.filter((name) => !allowed.test(name)),
      [],
    );
  });
});

/** What a process may do; final when nothing that it executes may do more. */
function privileges(pid: number): { readonly held: bigint; readonly isFinal: boolean } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(\\w+)$`, "m").exec(status)?.[1] ?? assert.fail(name);
  const [held = 0n, ...others] = ["CapPrm", "CapEff", "CapInh", "CapAmb"].map((set) =>
    BigInt(`0x${field(set)}`),
  );
  assert.deepEqual(others, [held, 0n, 0n]);
  return { held, isFinal: field("NoNewPrivs") === "1" };
}
