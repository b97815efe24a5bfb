import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Clock } from "../../lib/clock/clock.ts";
import { makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeRootMaterial } from "../ca/root-material.ts";
import { type LocalAuthority, openLocalAuthority } from "./local-authority.ts";

const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const LIMIT_MS = 20_000;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

interface Rig {
  readonly authority: LocalAuthority;
  readonly jump: (byMs: number) => void;
  readonly changes: () => number;
  /** How often it has gone to sleep. */
  readonly looks: () => number;
  /** Lets seconds pass until something holds: files are read in between. */
  readonly passed: (holds: () => boolean) => Promise<void>;
}

async function withAuthority(body: (rig: Rig) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "innermesh-authority-"));
  const root = makeRootMaterial({ trustDomain: "cluster.local", nowMs: START_MS, randomBytes });
  await writeFile(join(directory, "tls.crt"), root.certificate);
  await writeFile(join(directory, "tls.key"), root.key);
  await writeFile(join(directory, "ca.crt"), root.roots.join(""));
  const hands = makeFakeClock(START_MS);
  let offsetMs = 0;
  let looks = 0;
  const clock: Clock = {
    ...hands,
    wallMs: () => hands.wallMs() + offsetMs,
    sleep: (durationMs, signal) => {
      looks += 1;
      return hands.sleep(durationMs, signal);
    },
  };
  const stop = new AbortController();
  const parts = { trustDomain: "cluster.local", nodeName: "node-1", lifetimeMs: DAY_MS };
  const authority = await openLocalAuthority(
    { directory, ...parts, clock, log: QUIET },
    stop.signal,
  );
  let changes = 0;
  authority.onChange(() => void changes++);
  try {
    const jump = (byMs: number): void => void (offsetMs += byMs);
    const passed = async (holds: () => boolean): Promise<void> => {
      const limitMs = performance.now() + LIMIT_MS;
      while (!holds()) {
        assert(performance.now() < limitMs);
        await hands.advance(1_000);
      }
    };
    await body({ authority, jump, changes: () => changes, looks: () => looks, passed });
  } finally {
    stop.abort();
    await rm(directory, { recursive: true });
  }
}

test("F10: a clock that is set back has all that was signed before signed anew", async () => {
  await withAuthority(async ({ authority, jump, changes, passed }) => {
    const signer = authority.signer?.();
    jump(-3 * DAY_MS);
    await passed(() => changes() === 1);
    assert.notEqual(authority.signer?.(), signer);
  });
});

test("a clock that is set ahead, or back by seconds, changes nothing", async () => {
  await withAuthority(async ({ authority, jump, changes, passed, looks }) => {
    const signer = authority.signer?.();
    for (const byMs of [3 * DAY_MS, -5_000, -5_000]) {
      jump(byMs);
      const seen = looks();
      await passed(() => looks() > seen + 1);
    }
    assert.deepEqual([changes(), authority.signer?.()], [0, signer]);
  });
});
