// The life of keys: asked for at once, renewed in time and not in step, tried again at ease, gone
// when they are over.

import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import { type FakeClock, makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { decodePem } from "../../lib/x509/pem.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import { CredentialError } from "./credential-check.ts";
import { LEAST_BETWEEN_MS, LINGER_MS, RETRY_MAX_MS, RETRY_MIN_MS } from "./key-entry.ts";
import { type KeyEvent, KeyKeeper, MAX_ASKED, SIGN_LIMIT_MS, type Sign } from "./key-keeper.ts";
import { makeSampleAuthority } from "./sample-authority.ts";

const START_MS = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEB = "spiffe://cluster.local/ns/shop/sa/web";
const DB = "spiffe://cluster.local/ns/shop/sa/db";

interface Rig {
  readonly keeper: KeyKeeper;
  readonly clock: FakeClock;
  readonly events: readonly KeyEvent[];
  /** Monotonic times at which the CA was asked, by whom. */
  readonly asked: readonly { readonly atMs: number; readonly identity: SpiffeUri }[];
  /** How often `credentials` changed. */
  readonly changes: () => number;
  readonly jump: (byMs: number) => void;
  /** Undefined: the CA works. */
  sign: Sign | undefined;
  authority: ReturnType<typeof makeSampleAuthority>;
  bannedUntilMs: number;
  readonly need: (...identities: readonly SpiffeUri[]) => Promise<void>;
  readonly state: (identity: SpiffeUri) => string | undefined;
}

/** A number that looks like chance and is the same in every run. */
function makeRandom(): () => number {
  let seed = 7;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

async function withKeeper(body: (rig: Rig) => Promise<void>, lifetimeMs = DAY_MS): Promise<void> {
  const hands = makeFakeClock(START_MS);
  let offsetMs = 0;
  const clock = { ...hands, wallMs: () => hands.wallMs() + offsetMs };
  const events: KeyEvent[] = [];
  const asked: { atMs: number; identity: SpiffeUri }[] = [];
  let changes = 0;
  const stop = new AbortController();
  const keeper = new KeyKeeper({
    sign: async (csr, identity, signal) => {
      asked.push({ atMs: clock.monotonicMs(), identity });
      if (rig.sign !== undefined) return rig.sign(csr, identity, signal);
      // The CA's own clock does not jump.
      return { chain: rig.authority.sign(csr, identity, hands.wallMs()) };
    },
    bundles: () => rig.authority.bundles,
    bannedUntilMs: () => rig.bannedUntilMs,
    clock,
    random: makeRandom(),
    onChange: () => void changes++,
    onEvent: (event) => events.push(event),
  });
  const rig: Rig = {
    keeper,
    clock,
    events,
    asked,
    changes: () => changes,
    jump: (byMs) => void (offsetMs += byMs),
    sign: undefined,
    authority: makeSampleAuthority(START_MS, lifetimeMs),
    bannedUntilMs: -Infinity,
    need: async (...identities) => {
      keeper.need(new Set(identities));
      await clock.advance(0);
    },
    state: (identity) => keeper.states.find((one) => one.identity === identity)?.state,
  };
  const running = keeper.run(stop.signal);
  try {
    await body(rig);
  } finally {
    stop.abort();
    await running;
  }
}

const down: Sign = () => Promise.reject(new Error("connection refused"));

test("an identity that has a pod here gets a key and a certificate for it at once", async () => {
  await withKeeper(async ({ keeper, need, state, changes, events }) => {
    await need(WEB);
    assert.equal(state(WEB), "valid");
    assert.equal(changes(), 1);
    const credential = keeper.credentials.get(WEB) ?? assert.fail("none");
    const leaf = new X509Certificate(decodePem(credential.chain)[0] ?? assert.fail("no leaf"));
    assert.ok(leaf.checkPrivateKey(createPrivateKey(credential.key)));
    assert.equal(leaf.subjectAltName, `URI:${WEB}`);
    const { certificate } = keeper.states[0] ?? assert.fail("no state");
    assert.equal(certificate?.serial, leaf.serialNumber);
    assert.match(certificate?.issuer ?? "", /Sample/);
    const [issued] = events;
    assert.ok(issued?.kind === "issued" && !issued.isRenewal);
  });
});

test("half of its life later it has another key, and the old one served until then", async () => {
  await withKeeper(async ({ keeper, clock, need, events }) => {
    await need(WEB);
    const first = keeper.credentials.get(WEB);
    await clock.advance(10 * HOUR_MS);
    assert.equal(keeper.credentials.get(WEB), first);
    await clock.advance(4 * HOUR_MS);
    const second = keeper.credentials.get(WEB);
    assert.notEqual(second?.key, first?.key);
    assert.deepEqual(
      events.map((event) => event.kind === "issued" && event.isRenewal),
      [false, true],
    );
  });
});

test("F39: with the CA down a certificate serves to its last moment, and no longer", async () => {
  await withKeeper(async (rig) => {
    const { keeper, clock, need, state, events } = rig;
    await need(WEB);
    rig.sign = down;
    await clock.advance(DAY_MS - 1_000);
    assert.equal(state(WEB), "renewing");
    assert.match(keeper.states[0]?.lastError ?? "", /connection refused/);
    assert.ok(keeper.credentials.has(WEB));
    await clock.advance(1_002);
    assert.equal(keeper.credentials.size, 0);
    assert.equal(state(WEB), "failed");
    assert.ok(events.some(({ kind }) => kind === "expired"));
    rig.sign = undefined;
    await clock.advance(RETRY_MAX_MS);
    assert.equal(state(WEB), "valid");
  });
});

test("failures are tried again within 300 ms at first and 150 s at last", async () => {
  await withKeeper(async (rig) => {
    rig.sign = down;
    await rig.need(WEB);
    await rig.clock.advance(HOUR_MS);
    const pauses = rig.asked.slice(1).map(({ atMs }, i) => atMs - (rig.asked[i]?.atMs ?? 0));
    assert.ok(
      pauses.every((ms) => ms >= RETRY_MIN_MS && ms <= RETRY_MAX_MS),
      String(pauses),
    );
    assert.ok((pauses[0] ?? 0) <= 300);
    assert.ok(Math.max(...pauses) > 60_000);
  });
});

test("a CA that never answers is asked again, and holds up nobody for good", async () => {
  await withKeeper(async (rig) => {
    rig.sign = () => new Promise(() => {});
    const many = Array.from({ length: MAX_ASKED }, (_, i) => `${DB}-${i}`);
    await rig.need(...many, WEB);
    assert.equal(rig.asked.length, MAX_ASKED, "no more at a time");
    rig.sign = undefined;
    await rig.clock.advance(SIGN_LIMIT_MS + RETRY_MAX_MS);
    assert.equal(rig.keeper.credentials.size, MAX_ASKED + 1);
  });
});

test("who has no certificate goes before who wants a newer one", async () => {
  await withKeeper(async (rig) => {
    const old = Array.from({ length: 20 }, (_, i) => `${DB}-${i}`);
    await rig.need(...old);
    await rig.clock.advance(LEAST_BETWEEN_MS);
    const before = rig.asked.length;
    rig.keeper.renewAll(0);
    await rig.need(...old, WEB);
    assert.equal(rig.asked[before]?.identity, WEB);
  });
});

test("F43: 500 identities that came at once are renewed over more than an hour", async () => {
  await withKeeper(async (rig) => {
    const { keeper, clock, asked, need } = rig;
    await need(...Array.from({ length: 500 }, (_, i) => `${DB}-${i}`));
    await clock.advance(1_000);
    assert.equal(keeper.credentials.size, 500);
    await clock.advance(15 * HOUR_MS);
    const renewals = asked.slice(500).map(({ atMs }) => atMs);
    assert.equal(renewals.length, 500);
    const perMinute = new Map<number, number>();
    for (const atMs of renewals) {
      const minute = Math.floor(atMs / 60_000);
      perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1);
    }
    assert.ok(Math.max(...renewals) - Math.min(...renewals) > HOUR_MS);
    assert.ok(Math.max(...perMinute.values()) < 25, "no minute has a storm");
    const span = [0.45 * DAY_MS, 0.55 * DAY_MS + 1_000];
    assert.ok(renewals.every((ms) => ms >= (span[0] ?? 0) && ms <= (span[1] ?? 0)));
  });
});

test("F10: a clock that jumps a day ahead ends what is over by it, and makes no storm", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    rig.jump(DAY_MS + 60_000);
    const before = rig.asked.length;
    await rig.clock.advance(600_000);
    // The CA's clock is right, so nothing it signs is valid by ours.
    assert.equal(rig.keeper.credentials.size, 0);
    assert.match(rig.keeper.states[0]?.lastError ?? "", /expired by this node's clock/);
    assert.ok(rig.asked.length - before < 20, `asked ${rig.asked.length - before} times`);
    rig.jump(-DAY_MS - 60_000);
    await rig.clock.advance(RETRY_MAX_MS);
    assert.equal(rig.state(WEB), "valid");
  });
});

test("F10: a clock that jumps half a day ahead renews once", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    rig.jump(DAY_MS * 0.6);
    await rig.clock.advance(LEAST_BETWEEN_MS * 2);
    assert.equal(rig.asked.length, 2);
    // By our clock the new one is past its half as well: it must not go on and on.
    await rig.clock.advance(HOUR_MS);
    assert.equal(rig.asked.length, 2);
  });
});

test("F10: a clock that is set back a day does not outlive its certificate", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    rig.jump(-DAY_MS);
    await rig.clock.advance(HOUR_MS);
    assert.equal(rig.asked.length, 1);
    assert.ok(rig.keeper.credentials.has(WEB));
    await rig.clock.advance(0.55 * DAY_MS);
    assert.ok(rig.asked.length > 1, "by the monotonic clock it is half over");
  });
});

test("an identity keeps its key for a minute after its last pod, then has none", async () => {
  await withKeeper(async ({ keeper, clock, need, changes }) => {
    await need(WEB, DB);
    await need(DB);
    await clock.advance(LINGER_MS - 1);
    const kept = keeper.credentials.get(WEB);
    assert.ok(kept !== undefined);
    await need(WEB, DB);
    await clock.advance(LINGER_MS);
    assert.equal(keeper.credentials.get(WEB), kept, "it came back in time");
    const before = changes();
    await need(DB);
    await clock.advance(LINGER_MS);
    assert.deepEqual([...keeper.credentials.keys()], [DB]);
    assert.equal(changes(), before + 1);
    assert.equal(keeper.states.length, 1);
  });
});

test("what the CA returns is used only if it is ours, for us, now, from whom we trust", async () => {
  const other = makeSampleAuthority(START_MS, DAY_MS);
  await withKeeper(async (rig) => {
    const now = (): number => START_MS + rig.clock.monotonicMs();
    const garbage = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let stolen: readonly string[] = [];
    const cases: readonly (readonly [string, Sign])[] = [
      ["unknown-issuer", async (csr, uri) => ({ chain: other.sign(csr, uri, now()) })],
      ["other-identity", async (csr) => ({ chain: rig.authority.sign(csr, DB, now()) })],
      [
        "expired",
        async (csr, uri) => ({ chain: rig.authority.sign(csr, uri, now() - DAY_MS - 1) }),
      ],
      ["not-yet-valid", async (csr, u) => ({ chain: rig.authority.sign(csr, u, now() + HOUR_MS) })],
      ["other-key", async () => ({ chain: stolen })],
      ["no-certificate", async () => ({ chain: [] })],
      ["malformed-certificate", async () => ({ chain: [garbage] })],
    ];
    rig.sign = async (csr, uri) => {
      stolen = rig.authority.sign(csr, uri, now());
      throw new Error("lost");
    };
    await rig.need(WEB);
    for (const [code, sign] of cases) {
      rig.sign = sign;
      await rig.clock.advance(RETRY_MAX_MS);
      const failed = rig.events.findLast((event) => event.kind === "failed");
      assert.ok(failed?.kind === "failed" && failed.error instanceof CredentialError);
      assert.equal(failed.error.code, code);
      assert.equal(rig.keeper.credentials.size, 0);
    }
  });
});

test("a certificate whose root is gone is replaced at once, and serves until then", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    await rig.clock.advance(LEAST_BETWEEN_MS);
    const old = rig.keeper.credentials.get(WEB);
    rig.keeper.recheck();
    await rig.clock.advance(0);
    assert.equal(rig.keeper.credentials.get(WEB), old, "nothing is wrong with it");
    rig.authority = makeSampleAuthority(START_MS, DAY_MS);
    rig.keeper.recheck();
    assert.equal(rig.keeper.credentials.get(WEB), old);
    await rig.clock.advance(0);
    assert.notEqual(rig.keeper.credentials.get(WEB), old);
    assert.equal(rig.state(WEB), "valid");
  });
});

test("all are renewed within a while when the CA changes its key", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB, DB);
    await rig.clock.advance(LEAST_BETWEEN_MS);
    rig.keeper.renewAll(30_000);
    await rig.clock.advance(30_000);
    assert.equal(rig.asked.length, 4);
    await rig.clock.advance(HOUR_MS);
    assert.equal(rig.asked.length, 4);
  });
});

test("no key can be seen in what is printed, logged or thrown; workers get it as JSON", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    const credential = rig.keeper.credentials.get(WEB) ?? assert.fail("none");
    const secret = createPrivateKey(credential.key).export({ type: "pkcs8", format: "der" });
    const marks = ["PRIVATE KEY", secret.toString("base64").slice(40, 80), "[object Key"];
    rig.sign = down;
    await rig.need(WEB, DB);
    const all = { depth: Infinity, showHidden: true, getters: false } as const;
    const shown = [
      inspect(rig.keeper, all),
      inspect(rig.keeper.credentials, all),
      inspect(rig.keeper.states, all),
      inspect(rig.events, all),
      inspect({ ...credential }, all),
      JSON.stringify(rig.keeper),
      JSON.stringify(rig.keeper.states),
    ];
    for (const text of shown) for (const mark of marks) assert.ok(!text.includes(mark), mark);
    assert.match(JSON.stringify(credential), /BEGIN PRIVATE KEY/);
  });
});

test("a ban has every certificate replaced, as soon as the CA signs again for this node", async () => {
  await withKeeper(async (rig) => {
    await rig.need(WEB);
    const banned = rig.keeper.credentials.get(WEB);
    await rig.clock.advance(HOUR_MS);
    rig.sign = down;
    rig.bannedUntilMs = rig.clock.wallMs();
    rig.keeper.recheck();
    await rig.clock.advance(60_000);
    assert.equal(rig.state(WEB), "renewing");
    assert.equal(rig.keeper.credentials.get(WEB), banned);
    rig.sign = undefined;
    await rig.clock.advance(RETRY_MAX_MS);
    assert.equal(rig.state(WEB), "valid");
    assert.notEqual(rig.keeper.credentials.get(WEB), banned);
  });
});
