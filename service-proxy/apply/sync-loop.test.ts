import assert from "node:assert/strict";
import { test } from "node:test";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeStore } from "../../lib/kube/store.ts";
import { makeLogger } from "../../lib/log/logger.ts";
import { makeFakeKernel } from "../../lib/nft/fake-kernel.ts";
import { NftError, type NftKernel } from "../../lib/nft/objects.ts";
import { DEFAULT_LANE } from "../plan/lane-marks.ts";
import { TABLE } from "../plan/ruleset.ts";
import { NftApply } from "./nft-apply.ts";
import { runSyncLoop, type SyncObserver } from "./sync-loop.ts";

/** A loop over an empty cluster, and what it asked of the kernel and told its observer. */
function start(kernel: NftKernel, auditPeriodMs: number) {
  const clock = makeFakeClock();
  const log = makeLogger({ level: "error", format: "json", destination: { write: () => {} } });
  const store = makeStore([]);
  const events: string[] = [];
  const observer: SyncObserver = {
    recovered: () => events.push("recovered"),
    queued: () => {},
    started: () => {},
    synced: () => events.push("synced"),
    failed: () => events.push("failed"),
    audited: (result) => events.push(result),
  };
  const stop = new AbortController();
  const settings = {
    nodeName: "node-1",
    detectLocal: { kind: "ClusterCIDR", cidrs: [] },
    masqueradeAll: false,
    masqueradeBit: 14,
    proxyMode: "auto",
    lane: DEFAULT_LANE,
    nodePortAddresses: { kind: "primary" },
    apiServerAddresses: [],
  } as const;
  const periods = { minSyncPeriodMs: 10, auditPeriodMs, fullAuditPeriodMs: 600_000 };
  const ended = runSyncLoop(
    { settings, families: ["ip"], ...periods },
    {
      store,
      apply: new NftApply(kernel, log),
      lanes: { prepare: () => Promise.resolve(), release: () => {} },
      clock,
      random: () => 0.5,
      log,
      hostAddresses: () => [],
      onHostChange: () => () => {},
      ready: Promise.resolve(),
      otherNodes: () => [],
      observer,
      succession: { isHeld: true, takeOver: () => Promise.resolve() },
    },
    stop.signal,
  );
  return { clock, events, end: () => (stop.abort(), ended) };
}

test("a table that cannot be read at the start stays, and is read again until it can", async () => {
  const kernel = makeFakeKernel();
  let refusals = 3;
  const moody: NftKernel = {
    ...kernel,
    commit: (transactions) => kernel.commit(transactions),
    read(family, table) {
      if (refusals-- > 0) return Promise.reject(new NftError("read", "ENOBUFS"));
      return kernel.read(family, table);
    },
  };
  const { clock, events, end } = start(moody, 3_000);
  await clock.advance(10);
  assert.deepEqual([events, await kernel.read("ip", TABLE)], [[], undefined]);
  await clock.advance(1_000);
  assert.deepEqual(events, ["recovered", "synced"]);
  assert.notEqual(await kernel.read("ip", TABLE), undefined);
  await end();
});

test("audits come at their period, and mend", async () => {
  const kernel = makeFakeKernel();
  const { clock, events, end } = start(kernel, 3_000);
  await clock.advance(100);
  await kernel.commit([{ family: "ip", table: TABLE, changes: [{ kind: "delete-table" }] }]);
  await clock.advance(3_000);
  assert.deepEqual(events, ["recovered", "synced", "repaired"]);
  assert.notEqual(await kernel.read("ip", TABLE), undefined);
  await clock.advance(3_000);
  assert.equal(events.at(-1), "clean");
  await end();
});

test("a period of 0 turns audits off", async () => {
  const kernel = makeFakeKernel();
  const { clock, events, end } = start(kernel, 0);
  await clock.advance(3_600_000);
  assert.deepEqual(events, ["recovered", "synced"]);
  await end();
});
