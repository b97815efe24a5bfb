// The CA's objects over its life: first start, two replicas, a lost and a restored Secret, a user's
// own CA, bans, and a rotation from end to end.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { type FakeClock, makeFakeClock } from "../../lib/clock/fake-clock.ts";
import { asRecord, asText } from "../../lib/kube/api/fields.ts";
import type { LogFields, Logger } from "../../lib/log/logger.ts";
import { decodePem, encodePem } from "../../lib/x509/pem.ts";
import { makeSelfSigned } from "../../lib/x509/sample-certificate.ts";
import { type CaSettings, DEFAULT_CA_SETTINGS } from "./ca-settings.ts";
import { CaUpkeep, UPKEEP_MS } from "./ca-upkeep.ts";
import { FakeObjects } from "./fake-objects.ts";
import { makeRootMaterial } from "./root-material.ts";
import { asSupplied } from "./root-supplied.ts";

const NEVER = new AbortController().signal;
const HERE = "/api/v1/namespaces/innermesh-system";
const STATE = `${HERE}/secrets/innermesh-ca`;
const SUPPLIED = `${HERE}/secrets/innermesh-ca-user`;
const BUNDLE = `${HERE}/configmaps/innermesh-trust-bundle`;
const BANS = `${HERE}/configmaps/innermesh-bans`;
const START_MS = Date.parse("2026-11-01T00:00:00Z");
const HOUR_MS = 3_600_000;

class Rig {
  readonly objects = new FakeObjects();
  readonly clock: FakeClock = makeFakeClock(START_MS);
  readonly errors: LogFields[] = [];

  replica(settings: Partial<CaSettings> = {}, leads = true): CaUpkeep {
    const note = (_: string, fields: LogFields = {}) => void this.errors.push(fields);
    const log: Logger = { debug() {}, info() {}, warn: note, error: note };
    const metrics = {
      roots: { set() {}, clear() {} },
      expiry: { set() {}, clear() {} },
      failures: { add() {} },
    };
    return new CaUpkeep({
      settings: { ...DEFAULT_CA_SETTINGS, ...settings },
      client: this.objects,
      clock: this.clock,
      randomBytes,
      leads: () => leads,
      log,
      metrics,
    });
  }

  bundle(): Readonly<Record<string, unknown>> {
    return asRecord(this.objects.get(BUNDLE)?.["data"]);
  }

  published(domain = "cluster.local"): number {
    return decodePem(asText(this.bundle()[`${domain}.pem`])).length;
  }

  supplied() {
    const nowMs = this.clock.wallMs();
    const material = makeRootMaterial({ trustDomain: "cluster.local", nowMs, randomBytes });
    this.objects.putSecret(SUPPLIED, { ...asSupplied(material) });
    return material;
  }
}

test("the first start makes a root, signs with it and publishes it", async () => {
  const rig = new Rig();
  const ca = rig.replica();
  await ca.round(NEVER);
  assert.equal(ca.active?.version, 1);
  assert.equal(rig.published(), 1);
  assert.deepEqual([rig.bundle()["version"], rig.bundle()["bans.json"]], ["1", "[]"]);
  const text = JSON.stringify(rig.objects.get(BUNDLE));
  assert.ok(!text.includes("PRIVATE"));
});

test("two replicas that start at once agree on one root; only the leader publishes", async () => {
  const rig = new Rig();
  const [a, b] = [rig.replica({}, false), rig.replica({}, false)];
  await Promise.all([a.round(NEVER), b.round(NEVER)]);
  assert.deepEqual(a.active?.roots, b.active?.roots);
  assert.equal(a.active?.roots.length, 1);
  assert.equal(rig.objects.get(BUNDLE), undefined);
  assert.deepEqual(rig.errors, []);
});

test("a lost Secret: a new root beside the old one", async () => {
  const rig = new Rig();
  await rig.replica().round(NEVER);
  const old = asText(rig.bundle()["cluster.local.pem"]);
  rig.objects.remove(STATE);
  const again = rig.replica();
  await again.round(NEVER);
  assert.equal(rig.published(), 2);
  assert.ok(asText(rig.bundle()["cluster.local.pem"]).includes(old));
  assert.ok(again.active?.authority !== undefined && again.active.roots.length === 2);
});

test("a Secret that is no state is not overwritten, and told once", async () => {
  const rig = new Rig();
  rig.objects.putSecret(STATE, { "state.json": "{}" });
  const ca = rig.replica();
  await ca.round(NEVER);
  await ca.round(NEVER);
  assert.equal(ca.active, undefined);
  assert.equal(rig.errors.length, 1);
  assert.match(String(rig.errors[0]?.["why"]), /delete the Secret to go on/);
});

test("a restored older state appends: what was published stays", async () => {
  const rig = new Rig();
  await rig.replica().round(NEVER);
  const backup = rig.objects.get(STATE) ?? {};
  await rig.replica({ rootGeneration: 1 }).round(NEVER);
  assert.equal(rig.published(), 2);
  rig.objects.put(STATE, backup);
  const ca = rig.replica();
  await ca.round(NEVER);
  assert.equal(rig.published(), 2);
  assert.ok(Number(rig.bundle()["version"]) > 2);
});

test("a higher generation rotates: add, switch after the spread, remove after the last leaf", async () => {
  const rig = new Rig();
  const spreadMs = 60_000;
  const leafLifetimeMs = HOUR_MS;
  await rig.replica({ spreadMs, leafLifetimeMs }).round(NEVER);
  const ca = rig.replica({ spreadMs, leafLifetimeMs, rootGeneration: 1 });
  await ca.round(NEVER);
  assert.equal(rig.published(), 2);
  const issuer = () => ca.active?.roots.at(-1);
  const old = issuer();
  await rig.clock.advance(spreadMs);
  await ca.round(NEVER);
  assert.notEqual(issuer(), old);
  assert.equal(rig.published(), 2, "leaves below the old root still live");
  await rig.clock.advance(leafLifetimeMs + 2 * spreadMs);
  await ca.round(NEVER);
  assert.equal(rig.published(), 1);
  assert.deepEqual(rig.errors, []);
});

test("a follower signs with what the leader wrote, and rotates nothing itself", async () => {
  const rig = new Rig();
  const [leader, follower] = [rig.replica(), rig.replica({ rootGeneration: 1 }, false)];
  await leader.round(NEVER);
  await follower.round(NEVER);
  assert.equal(follower.active?.version, 1);
  await rig.replica({ rootGeneration: 1 }).round(NEVER);
  await follower.round(NEVER);
  assert.equal(follower.active?.version, 2);
});

test("a user's CA signs from the first start", async () => {
  const rig = new Rig();
  const { certificate } = rig.supplied();
  const ca = rig.replica();
  await ca.round(NEVER);
  assert.deepEqual(ca.active?.roots, [certificate]);
});

test("a user's CA that comes later is rotated to, and stays when its Secret goes", async () => {
  const rig = new Rig();
  const ca = rig.replica();
  await ca.round(NEVER);
  const { certificate } = rig.supplied();
  await ca.round(NEVER);
  assert.equal(rig.published(), 2);
  await rig.clock.advance(DEFAULT_CA_SETTINGS.spreadMs);
  await ca.round(NEVER);
  assert.equal(ca.active?.roots.at(-1), certificate);
  rig.objects.remove(SUPPLIED);
  await ca.round(NEVER);
  assert.equal(ca.active?.roots.at(-1), certificate);
  assert.match(String(rig.errors.at(-1)?.["why"]), /the supplied CA is gone/);
});

test("a user's CA that cannot be used changes nothing, and at a first start nothing signs", async () => {
  const rig = new Rig();
  rig.objects.putSecret(SUPPLIED, { "tls.crt": "none", "tls.key": "none" });
  const ca = rig.replica();
  await ca.round(NEVER);
  assert.equal(ca.active, undefined);
  assert.match(String(rig.errors[0]?.["why"]), /cannot be used/);
  rig.objects.remove(SUPPLIED);
  await ca.round(NEVER);
  const { active } = ca;
  assert.ok(active !== undefined);
  rig.objects.putSecret(SUPPLIED, { "tls.crt": "none", "tls.key": "none" });
  await ca.round(NEVER);
  assert.equal(ca.active, active);
});

test("bans are read each round and published beside the roots", async () => {
  const rig = new Rig();
  const ca = rig.replica();
  rig.objects.put(BANS, { data: { "node-b": "2026-11-01T00:00:00Z" } });
  await ca.round(NEVER);
  assert.deepEqual(
    ca.bans.map(({ node }) => node),
    ["node-b"],
  );
  assert.deepEqual(JSON.parse(asText(rig.bundle()["bans.json"])), ca.bans);
});

test("roots of other trust domains in the bundle stay as they are", async () => {
  const rig = new Rig();
  rig.objects.put(BUNDLE, { metadata: { name: "b" }, data: { "other.example.pem": "theirs" } });
  await rig.replica().round(NEVER);
  assert.equal(rig.bundle()["other.example.pem"], "theirs");
  assert.equal(rig.published(), 1);
});

test("where the cluster has ClusterTrustBundles, the roots are published there too", async () => {
  const rig = new Rig();
  const api = "/apis/certificates.k8s.io/v1beta1";
  rig.objects.put(api, { resources: [{ name: "clustertrustbundles" }] });
  await rig.replica().round(NEVER);
  const bundle = rig.objects.get(`${api}/clustertrustbundles/innermesh-trust-bundle`);
  const { trustBundle } = asRecord(bundle?.["spec"]);
  assert.equal(trustBundle, rig.bundle()["cluster.local.pem"]);
});

test("without the API server the last good state signs on, and it is told once", async () => {
  const rig = new Rig();
  const ca = rig.replica();
  await ca.round(NEVER);
  rig.objects.failure = { code: 500 };
  const stop = new AbortController();
  const running = ca.run(stop.signal);
  for (let i = 0; i < 5; i++) await rig.clock.advance(UPKEEP_MS);
  stop.abort();
  await running;
  assert.ok(ca.active !== undefined);
  assert.equal(rig.errors.length, 1);
});

test("who deletes Secret and bundle starts over: replicas sign with what is stored then", async () => {
  const rig = new Rig();
  const [leader, follower] = [rig.replica(), rig.replica({}, false)];
  await leader.round(NEVER);
  await follower.round(NEVER);
  rig.objects.remove(STATE);
  rig.objects.remove(BUNDLE);
  await leader.round(NEVER);
  await follower.round(NEVER);
  const published = asText(rig.bundle()["cluster.local.pem"]);
  for (const { active } of [leader, follower]) assert.equal(active?.roots.join(""), published);
});

test("another trust domain is published above what the former one had", async () => {
  const rig = new Rig();
  await rig.replica().round(NEVER);
  await rig.replica({ rootGeneration: 1 }).round(NEVER);
  await rig.replica({ trustDomain: "other.example" }).round(NEVER);
  assert.equal(rig.published("other.example"), 1);
  assert.equal(rig.published("cluster.local"), 2);
});

test("an older root of a user's CA expires: a restarted CA signs, bans, and lets it go", async () => {
  const rig = new Rig();
  const material = rig.supplied();
  const notAfterMs = START_MS + HOUR_MS;
  const old = makeSelfSigned({ authority: {}, keyUsage: 6, uris: [], notAfterMs });
  const roots = material.certificate + encodePem(old.der);
  rig.objects.putSecret(SUPPLIED, { ...asSupplied(material), "ca.crt": roots });
  await rig.replica().round(NEVER);
  assert.equal(rig.published(), 2);
  await rig.clock.advance(2 * HOUR_MS);
  rig.objects.put(BANS, { data: { "node-b": "2026-11-01T00:00:00Z" } });
  for (const leads of [false, true]) {
    const ca = rig.replica({}, leads);
    await ca.round(NEVER);
    await ca.round(NEVER);
    assert.equal(ca.active?.roots.at(-1), material.certificate);
  }
  assert.match(asText(rig.bundle()["bans.json"]), /node-b/);
  assert.equal(rig.errors.length, 2, "each tells it once");
  assert.match(String(rig.errors[0]?.["why"]), /left out of .*ca.crt, certificate 2: expired/);
  const later = rig.replica();
  await rig.clock.advance(DEFAULT_CA_SETTINGS.spreadMs);
  await later.round(NEVER);
  await rig.clock.advance(48 * HOUR_MS);
  await later.round(NEVER);
  assert.equal(rig.published(), 1);
});
