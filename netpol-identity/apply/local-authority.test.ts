import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type FakeClock, makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { makeRootMaterial } from "../ca/root-material.ts";
import { type LocalAuthority, openLocalAuthority } from "./local-authority.ts";

const START_MS = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

interface Rig {
  readonly authority: LocalAuthority;
  readonly clock: FakeClock;
  readonly jump: (byMs: number) => void;
  readonly changes: () => number;
}

async function withAuthority(body: (rig: Rig) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "innermesh-authority-"));
  const root = makeRootMaterial({ trustDomain: "cluster.local", nowMs: START_MS, randomBytes });
  await writeFile(join(directory, "tls.crt"), root.certificate);
  await writeFile(join(directory, "tls.key"), root.key);
  await writeFile(join(directory, "ca.crt"), root.roots.join(""));
  const hands = makeFakeClock(START_MS);
  let offsetMs = 0;
  const clock = { ...hands, wallMs: () => hands.wallMs() + offsetMs };
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
    await body({ authority, clock, jump, changes: () => changes });
  } finally {
    stop.abort();
    await rm(directory, { recursive: true });
  }
}

test("F10: a clock that is set back has all that was signed before signed anew", async () => {
  await withAuthority(async ({ authority, clock, jump, changes }) => {
    const signer = authority.signer?.();
    jump(3 * DAY_MS);
    await clock.advance(1_000);
    assert.deepEqual([changes(), authority.signer?.()], [0, signer]);
    jump(-3 * DAY_MS);
    await clock.advance(1_000);
    assert.equal(changes(), 1);
    assert.notEqual(authority.signer?.(), signer);
  });
});

test("a clock that is corrected by seconds changes nothing", async () => {
  await withAuthority(async ({ authority, clock, jump, changes }) => {
    const signer = authority.signer?.();
    for (let second = 0; second < 20; second++) {
      jump(-5_000);
      await clock.advance(1_000);
    }
    assert.deepEqual([changes(), authority.signer?.()], [0, signer]);
  });
});
