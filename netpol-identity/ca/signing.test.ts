// The node's client, and a foreign one, against the CA's own server over TLS on loopback. Only the
// API server is a fake.

import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, suite, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import type { Clock } from "../../lib/clock/clock.ts";
import { systemClock } from "../../lib/clock/system-clock.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { LogFields, Logger } from "../../lib/log/logger.ts";
import { encodeCsr } from "../../lib/x509/csr.ts";
import { CaClient } from "../apply/ca-client.ts";
import type { CaClientError, CaFailure } from "../apply/ca-client-error.ts";
import type { NodeBan } from "../model/tunnel-plan.ts";
import { type ActiveAuthority, makeActiveAuthority } from "./active-authority.ts";
import { FOREVER_MS } from "./ca-bans.ts";
import { FAILURE_LIMIT } from "./caller-limit.ts";
import { CallerReview, REVIEW_LIFE_MS } from "./caller-review.ts";
import { FakeObjects } from "./fake-objects.ts";
import { makeRootMaterial } from "./root-material.ts";
import { recoverAuthority } from "./rotation-recovery.ts";
import { sampleAgent, samplePod, sampleUser } from "./sample-callers.ts";
import {
  CREATE_CERTIFICATE,
  decodeCertificateResponse,
  encodeCertificateRequest,
  encodeCsrPem,
} from "./signing-messages.ts";
import { runSigningServer } from "./signing-server.ts";
import { NODE_LIMIT, SigningService } from "./signing-service.ts";

const NEVER = new AbortController().signal;
const HOUR_MS = 3_600_000;
const web = samplePod({ namespace: "shop", name: "web-1", serviceAccount: "web" });
const identity = { trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" };
const ID = "spiffe://cluster.local/ns/shop/sa/web";

function makeAuthority(): ActiveAuthority {
  const nowMs = Date.now();
  const trustDomain = "cluster.local";
  const make = () => makeRootMaterial({ trustDomain, nowMs, randomBytes });
  const leafLifetimeMs = 24 * HOUR_MS;
  const nothing = { stored: undefined, published: undefined };
  const state = recoverAuthority({ trustDomain, ...nothing, make, leafLifetimeMs, nowMs });
  const made = makeActiveAuthority(state, leafLifetimeMs, { clock: systemClock, randomBytes });
  assert.equal(made.kind, "ok");
  return made.active;
}

suite("signing", () => {
  const stop = new AbortController();
  const objects = new FakeObjects();
  const lines: { readonly message: string; readonly fields: LogFields }[] = [];
  const counted: string[] = [];
  const listening = Promise.withResolvers<number>();
  /** Stands still for what is remembered and counted, until a test turns it. */
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  let active: ActiveAuthority | undefined = makeAuthority();
  let bans: readonly NodeBan[] = [];
  let pods = new Map<string, Pod>();
  let synced = true;
  let running: Promise<void>;
  let folder: string;
  let client: CaClient;
  let service: SigningService;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "signing-"));
    const note = (message: string, fields: LogFields = {}): void => {
      lines.push({ message, fields });
      if (message === "CA listens") listening.resolve(Number(fields["port"]));
    };
    const log: Logger = { debug: note, info: note, warn: note, error: note };
    const metrics = {
      issued: { add: () => void counted.push("issued") },
      refused: { add: (_: number, { reason }: { reason: string }) => void counted.push(reason) },
      duration: { observe() {} },
      expiry: { set() {}, clear() {} },
    };
    const audiences = ["innermesh-ca"];
    service = new SigningService({
      active: () => active,
      bans: () => bans,
      callers: new CallerReview({ client: objects, audiences, clock, signal: stop.signal }),
      store: {
        get pods() {
          return pods;
        },
        get synced() {
          return synced;
        },
      },
      rules: {
        accounts: ["kube-system/innermesh-node"],
        audiences,
        trustDomain: "cluster.local",
        hostNetworkPods: "excluded",
      },
      clock,
      log,
      metrics,
    });
    const createCertificate = service.createCertificate.bind(service);
    const dnsNames = ["innermesh-ca.innermesh-system.svc"];
    const listen = { host: "127.0.0.1", port: 0 };
    const base = { active: () => active, clock, log, metrics };
    running = runSigningServer({ listen, dnsNames, createCertificate, ...base }, stop.signal);
    const port = await listening.promise;
    client = new CaClient({
      endpoint: () => ({ host: "127.0.0.1", port }),
      roots: () => active?.roots ?? [],
      tokenPath: join(folder, "token"),
      clock: systemClock,
    });
  });
  after(async () => {
    client[Symbol.dispose]();
    stop.abort();
    await running;
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    pods = new Map([sampleAgent, web].map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
    objects.users.clear();
    objects.users.set("good", sampleUser);
    objects.failure = undefined;
    bans = [];
    // Another answer is asked for, and buckets are full again.
    nowMs += 600_000;
    await useToken("good");
  });

  const useToken = (token: string): Promise<void> => writeFile(join(folder, "token"), `${token}\n`);

  const newKey = (): KeyObject => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const csrDer = encodeCsr(newKey());

  const sign = (more: { lifetimeMs?: number; csrDer?: Buffer } = {}) =>
    client.sign({ csrDer, identity, ...more }, NEVER);

  async function refused(code: CaFailure, reason: string, words: RegExp): Promise<void> {
    await assert.rejects(sign(), (error: CaClientError) => {
      assert.deepEqual([error.code, counted.at(-1)], [code, reason], error.message);
      assert.match(error.message, words);
      assert.ok(!/good|stolen/.test(error.message), "no token is told");
      return true;
    });
  }

  test("a node gets a chain for a pod's identity, and the audit line says so", async () => {
    const key = newKey();
    const { chain } = await sign({ csrDer: encodeCsr(key) });
    const [leaf, ...rest] = chain.map((pem) => new X509Certificate(pem));
    assert.ok(leaf !== undefined && leaf.checkPrivateKey(key));
    assert.equal(leaf.subjectAltName, `URI:${ID}`);
    assert.deepEqual(rest, [], "a root is no part of the chain");
    const line = lines.findLast(({ message }) => message === "certificate issued");
    const { serial, notAfter, ...told } = line?.fields ?? {};
    assert.equal(serial, leaf.serialNumber);
    assert.equal(Date.parse(String(notAfter)), leaf.validToDate.getTime());
    assert.deepEqual(told, {
      identity: ID,
      node: "node-a",
      caller: "kube-system/innermesh-node-x",
      callerUid: sampleAgent.uid,
    });
  });

  test("a wish for a shorter life is granted, for a longer one up to the setting", async () => {
    for (const [wishMs, lifeMs] of [
      [HOUR_MS, HOUR_MS],
      [1_000, HOUR_MS / 6],
      [720 * HOUR_MS, 24 * HOUR_MS],
    ] as const) {
      const { chain } = await sign({ lifetimeMs: wishMs });
      const end = new X509Certificate(chain[0] ?? "").validToDate.getTime();
      assert.ok(Math.abs(end - clock.wallMs() - lifeMs) < 60_000, `${wishMs}`);
    }
  });

  test("a request contributes its key only: names and a CA bit in it change nothing", async () => {
    const uri = "spiffe://cluster.local/ns/kube-system/sa/admin";
    const { chain } = await sign({ csrDer: encodeCsr(newKey(), uri) });
    const leaf = new X509Certificate(chain[0] ?? "");
    assert.equal(leaf.subjectAltName, `URI:${ID}`);
    assert.equal(leaf.ca, false);
  });

  test("a pod that is gone entitles nobody any more", async () => {
    await sign();
    pods.delete("shop/web-1");
    await refused("permission-denied", "no-pod", /No pod of .*shop\/sa\/web.* on node node-a/);
  });

  test("a deleted agent is refused although its token was good a moment ago", async () => {
    await sign();
    pods.delete("kube-system/innermesh-node-x");
    await refused("permission-denied", "caller-gone", /no pod kube-system\/innermesh-node-x/);
  });

  test("a token that the API server takes back is refused within 10 s", async () => {
    await sign();
    const asked = objects.reviews;
    objects.users.clear();
    await sign();
    assert.equal(objects.reviews, asked, "for a moment an answer is remembered");
    assert.ok(REVIEW_LIFE_MS <= 10_000);
    nowMs += REVIEW_LIFE_MS;
    await refused("unauthenticated", "bad-token", /does not accept the token/);
  });

  test("many requests at once cost one review", async () => {
    const asked = objects.reviews;
    await Promise.all(Array.from({ length: 50 }, () => sign()));
    assert.equal(objects.reviews, asked + 1);
  });

  test("no token, a foreign one and one of the wrong account are refused", async () => {
    await useToken("");
    await refused("unauthenticated", "no-token", /authorization: Bearer/);
    await useToken("stolen");
    await refused("unauthenticated", "bad-token", /does not accept/);
    objects.users.set("other", { ...sampleUser, username: "system:serviceaccount:a:b" });
    await useToken("other");
    await refused("permission-denied", "not-allowed", /not among those who may ask/);
  });

  /** Bad tokens from the address of this test's client. */
  async function strangers(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      await useToken(`stolen-${i}`);
      await assert.rejects(sign());
    }
    assert.equal(counted.at(-1), "failure-limit");
  }

  test("after many bad tokens an address waits, whatever it shows that is new", async () => {
    await strangers();
    objects.users.set("new", sampleUser);
    await useToken("new");
    await refused("exhausted", "failure-limit", /try again later/);
  });

  test("strangers at an agent's address do not keep it waiting, but for what is taken back", async () => {
    await sign();
    nowMs += REVIEW_LIFE_MS;
    await strangers();
    await useToken("good");
    await sign();
    nowMs += REVIEW_LIFE_MS;
    objects.users.clear();
    await refused("unauthenticated", "bad-token", /does not accept the token/);
    await strangers();
    await useToken("good");
    await refused("exhausted", "failure-limit", /try again later/);
  });

  test("an agent whose token is new has a bucket of its own, at its address", async () => {
    const peer = "192.0.2.8";
    pods.set("kube-system/innermesh-node-x", { ...sampleAgent, addresses: [peer] });
    const named = (name: string, uid: string): string => {
      const claims = { "kubernetes.io": { namespace: "kube-system", pod: { name, uid } } };
      return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;
    };
    const token = named(sampleAgent.name, sampleAgent.uid);
    objects.users.set(token, sampleUser);
    const ask = async (shown: string, from: string): Promise<string | undefined> => {
      const authorization = `Bearer ${shown}`;
      const message = new Uint8Array();
      await service.createCertificate({ message, authorization, peer: from, signal: NEVER });
      return counted.at(-1);
    };
    for (const from of [peer, `::ffff:${peer}`]) {
      while ((await ask(named(sampleAgent.name, "another"), from)) !== "failure-limit");
    }
    assert.equal(await ask(token, `::ffff:${peer}`), "bad-request", "the caller is accepted");
  });

  test("bad tokens that come at once cost no more reviews than one after the other", async () => {
    const asked = objects.reviews;
    const ask = (authorization: string) =>
      service.createCertificate({
        message: new Uint8Array(),
        authorization,
        peer: "192.0.2.7",
        signal: NEVER,
      });
    const tokens = Array.from({ length: 200 }, (_, i) => `Bearer stolen-${i}`);
    await Promise.all(tokens.map(ask));
    assert.equal(objects.reviews - asked, FAILURE_LIMIT.burst);
  });

  test("a banned node is refused at once", async () => {
    bans = [{ node: "node-a", untilMs: FOREVER_MS }];
    await refused("permission-denied", "banned", /Node node-a is banned/);
    bans = [{ node: "node-b", untilMs: FOREVER_MS }];
    await sign();
  });

  test("a node that asks without end is slowed down", async () => {
    const unreadable = { csrDer: Buffer.of(0) };
    for (let i = 0; i < NODE_LIMIT.burst; i += 50) {
      await Promise.allSettled(Array.from({ length: 50 }, () => sign(unreadable)));
    }
    await refused("exhausted", "node-limit", /Node node-a asks too often/);
    nowMs += 1_000;
    await sign();
  });

  test("before pods are known, and without the API server, the CA is unavailable", async () => {
    synced = false;
    await refused("unavailable", "not-ready", /just started/);
    synced = true;
    objects.failure = { code: 500 };
    await refused("unavailable", "not-ready", /API server/);
  });

  test("a request that nobody can read is refused as invalid", async () => {
    await assert.rejects(sign({ csrDer: Buffer.from("none") }), { code: "invalid" });
    assert.equal(counted.at(-1), "bad-request");
  });

  test("when something else signs, connections go on under its root", async () => {
    const before = active;
    active = makeAuthority();
    const deadline = Date.now() + 30_000;
    // The server looks once a second.
    for (let done = false; !done; ) {
      done = await sign().then(
        () => true,
        () => assert.ok(Date.now() < deadline) === undefined && false,
      );
    }
    const { chain } = await sign();
    const root = new X509Certificate(active.roots[0] ?? "");
    assert.ok(new X509Certificate(chain[0] ?? "").checkIssued(root));
    assert.notEqual(before, active);
  });

  test("a foreign client of Istio's API gets leaf first and root last", async () => {
    const roots = active?.roots ?? [];
    const port = await listening.promise;
    const foreign = new grpc.Client(
      `127.0.0.1:${port}`,
      grpc.credentials.createSsl(Buffer.from(roots.join(""))),
      { "grpc.ssl_target_name_override": "innermesh-ca.innermesh-system.svc" },
    );
    const metadata = new grpc.Metadata();
    metadata.set("authorization", "Bearer good");
    const csr = encodeCsrPem(csrDer);
    const message = encodeCertificateRequest({ csr, identity: ID, validitySeconds: 3_600 });
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      foreign.makeUnaryRequest(
        CREATE_CERTIFICATE,
        (value: Uint8Array) => Buffer.from(value),
        (value) => value,
        message,
        metadata,
        (error, value) => (error === null && value ? resolve(value) : reject(error)),
      );
    });
    foreign.close();
    const answer = decodeCertificateResponse(bytes);
    assert.ok(answer.kind === "ok");
    const [leaf, root] = answer.value.map((pem) => new X509Certificate(pem));
    assert.equal(answer.value.length, 2);
    assert.equal(leaf?.subjectAltName, `URI:${ID}`);
    assert.ok(root !== undefined && leaf.checkIssued(root) && leaf.verify(root.publicKey));
  });
});
