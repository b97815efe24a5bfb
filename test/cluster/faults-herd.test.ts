// Hundreds of nodes lose the API server in the same instant: F8. The clients are the node role's
// own, in one process, because what is judged is when they ask, not what they do with the answer.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../lib/clock/system-clock.ts";
import { makeKubeClient } from "../../lib/kube/client.ts";
import type { ClientConfig } from "../../lib/kube/kubeconfig.ts";
import { ALL_KINDS, runApiSource } from "../../lib/kube/source/api-source.ts";
import { KIND_TABLE } from "../../lib/kube/source/kind-table.ts";
import { type KubeStore, makeStore } from "../../lib/kube/store.ts";
import { eventually } from "./answers.ts";
import { createNodeAccount } from "./cluster-fixture.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import { lasting, SOAK } from "./soak.ts";

const AGENTS = SOAK ? 200 : 60;
/** Without the Gateway API, as here, its kinds are looked for now and then, and not watched. */
const SERVED = ALL_KINDS.filter((kind) => !KIND_TABLE[kind].apiVersions[0].startsWith("gateway."));
const WATCHES = AGENTS * SERVED.length;

suite("a herd of agents", () => {
  test("F8: back after an outage they come one by one: never at twice the mean rate", async (t) => {
    await using controlPlane = await startControlPlane({ controllers: [] });
    await using proxy = await startFaultProxy(controlPlane);
    const overloadMs = lasting(8_000, 30_000);
    const stop = new AbortController();
    const config = await herdConfig(controlPlane, proxy.url);
    const herd = Array.from({ length: AGENTS }, (_, number) => join(number, config, stop.signal));
    try {
      await eventually(async () => {
        await delay(0);
        assert.ok(herd.every(({ store }) => store.synced));
      }, 60_000);
      await proxy.goDown();
      await delay(lasting(8_000, 60_000));
      const treat = { kind: "answer", status: 429, retryAfterSeconds: 1 } as const;
      proxy.faults = { treat: () => treat };
      await proxy.listen();
      const fromMs = proxy.nowMs;
      await delay(overloadMs);
      proxy.faults = {};
      const back = (): number => proxy.since(fromMs).filter(({ status }) => status === 200).length;
      await eventually(async () => {
        await delay(0);
        assert.ok(back() >= WATCHES, `${back()} of ${WATCHES} watches are back`);
      }, 30_000);
      const perSecond = countBySecond(proxy.since(fromMs).map(({ atMs }) => atMs - fromMs));
      t.diagnostic(`${AGENTS} agents, requests by second: ${perSecond.join(" ")}`);
      const overloaded = perSecond.slice(0, Math.floor(overloadMs / 1_000));
      const mean = overloaded.reduce((sum, count) => sum + count, 0) / overloaded.length;
      // Of two seconds at a time: what a busy machine held up in one comes in the next.
      const pairs = perSecond.map((count, second) => count + (perSecond[second + 1] ?? 0));
      const peak = Math.max(...pairs) / 2;
      assert.ok(peak <= 2 * mean, `${peak} requests a second, ${mean.toFixed(0)} on average`);
    } finally {
      stop.abort();
      await Promise.all(herd.map(({ ended }) => ended));
    }
  });
});

function join(
  number: number,
  config: ClientConfig,
  signal: AbortSignal,
): { readonly store: KubeStore; readonly ended: Promise<void> } {
  const store = makeStore(ALL_KINDS);
  const client = makeKubeClient(config, systemClock);
  const source = { client, nodeName: `node-${number}`, store, signal };
  const chance = { clock: systemClock, random: Math.random, onEvent: () => {} };
  const ended = runApiSource({ ...source, ...chance }).finally(() => client.close());
  return { store, ended };
}

async function herdConfig(controlPlane: ControlPlane, server: string): Promise<ClientConfig> {
  const path = await createNodeAccount(controlPlane);
  const ca = await readFile(controlPlane.authorityFile, "utf8");
  const token = { kind: "file", path } as const;
  return { server: new URL(server), ca, token, insecureSkipTlsVerify: false };
}

function countBySecond(timesMs: readonly number[]): readonly number[] {
  const counts: number[] = [];
  for (const timeMs of timesMs) {
    const second = Math.floor(timeMs / 1_000);
    counts[second] = (counts[second] ?? 0) + 1;
  }
  return Array.from(counts, (count) => count ?? 0);
}
