import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { LEAF_LIFETIME } from "./authority.ts";
import { makeRootMaterial } from "./root-material.ts";
import { type Recovery, recoverAuthority } from "./rotation-recovery.ts";
import type { AuthorityState, StateMaterial } from "./rotation-state.ts";

const NOW_MS = Date.parse("2026-06-01T12:00:00Z");
const trustDomain = "cluster.local";
const HOUR_MS = 3_600_000;

function make(): StateMaterial {
  return { ...makeRootMaterial({ trustDomain, nowMs: NOW_MS, randomBytes }), generation: 0 };
}

function recover(known: Partial<Recovery>): AuthorityState {
  return recoverAuthority({
    trustDomain,
    stored: undefined,
    published: undefined,
    make,
    leafLifetimeMs: HOUR_MS,
    nowMs: NOW_MS,
    ...known,
  });
}

const rootsOf = ({ roots }: AuthorityState): readonly string[] => roots.map(({ pem }) => pem);

test("the first start makes a signer and its root", () => {
  const state = recover({});
  assert.equal(state.version, 1);
  assert.deepEqual(state.roots, [{ pem: state.active.certificate, addedMs: NOW_MS }]);
  assert.equal(state.leafLifetimeMs, HOUR_MS);
});

test("a state that is as new as what was published is used as it is", () => {
  const stored = recover({});
  assert.equal(recover({ stored }), stored);
  assert.equal(recover({ stored, published: { version: 1, roots: rootsOf(stored) } }), stored);
});

test("when the key is lost, a new root is appended, and the old one stays while leaves live", () => {
  const lost = recover({});
  const state = recover({ published: { version: 7, roots: rootsOf(lost) } });
  assert.equal(state.version, 8);
  assert.deepEqual(rootsOf(state), [...rootsOf(lost), state.active.certificate]);
  assert.notEqual(state.active.certificate, lost.active.certificate);
  assert.equal(state.roots[0]?.retiredMs, NOW_MS + LEAF_LIFETIME.mostMs);
  assert.equal(state.roots[1]?.retiredMs, undefined);
});

test("a restored state goes on above what was published, and drops no root", () => {
  const stored = recover({});
  const newer = make().certificate;
  const published = { version: 5, roots: [...rootsOf(stored), newer] };
  const state = recover({ stored, published });
  assert.equal(state.version, 6);
  assert.equal(state.active, stored.active);
  assert.deepEqual(rootsOf(state), published.roots);
  assert.equal(state.roots[0]?.retiredMs, undefined);
  assert.equal(state.roots[1]?.retiredMs, NOW_MS + LEAF_LIFETIME.mostMs);
  assert.equal(state.leafLifetimeMs, LEAF_LIFETIME.mostMs);
});

test("the root of a restored key that had left the bundle is appended again", () => {
  const stored = recover({});
  const published = { version: 5, roots: [make().certificate] };
  const state = recover({ stored, published });
  assert.deepEqual(rootsOf(state), [...published.roots, stored.active.certificate]);
});

test("a state of another trust domain is not ours", () => {
  const stored = { ...recover({}), trustDomain: "other.local" };
  const state = recover({ stored });
  assert.equal(state.trustDomain, trustDomain);
  assert.notEqual(state.active, stored.active);
});
