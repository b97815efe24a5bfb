// Which endpoints a client may reach, with the policies of sample-policies.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteStream, StreamOwner } from "../../lib/reactor/byte-stream.ts";
import { Reactor } from "../../lib/reactor/reactor.ts";
import { StreamPair } from "../../lib/reactor/stream-pair.ts";
import type { Dialer } from "../../lib/reactor/transparent-socket.ts";
import { samplePeers, sampleRule, sampleSet } from "../evaluate/sample-set.ts";
import { PolicyDialer } from "./policy-dialer.ts";
import { PolicyJudge } from "./policy-judge.ts";
import { PolicyTables } from "./policy-tables.ts";
import { PolicyTelemetry } from "./policy-telemetry.ts";
import {
  DB,
  FAR_DB,
  FAR_WEB,
  LOCAL_DB,
  LOCAL_WEB,
  sampleIsolation,
  type SamplePolicies,
  samplePolicies,
  WEB,
} from "./sample-policies.ts";

const NODE = "192.0.2.1";
const OUTSIDE = "198.51.100.7";
const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };

interface World extends SamplePolicies {
  /** Identities that are proven on the way to a pod. */
  readonly enrolled?: Readonly<Record<string, string>>;
}

/** Nothing is really dialled: EIO stands for a connection, unless there is one. */
function makeDialer(policies?: World, connection?: ByteStream) {
  const tables = new PolicyTables();
  const telemetry = new PolicyTelemetry();
  const dialled: string[] = [];
  const denials: unknown[] = [];
  const inner: Dialer = {
    dial: ({ to }) => {
      dialled.push(to.address);
      return connection ?? "EIO";
    },
    isPersonal: () => false,
    refusal: ({ to }) => (to.port === 1 ? "strict" : undefined),
    revision: 0,
  };
  if (policies !== undefined) tables.apply(samplePolicies(policies));
  const isHost = (address: string): boolean => address === NODE;
  const identityOf = (address = ""): string | null => policies?.enrolled?.[address] ?? null;
  const reactor = new Reactor(() => 0);
  reactor.stop();
  const dialer = new PolicyDialer({
    reactor,
    inner,
    plain: inner,
    inspect: () => assert.fail("nothing is connected"),
    tables,
    judge: new PolicyJudge({ tables, telemetry, onAudit() {}, isHost }),
    pairOf: (to, client) => {
      const source = identityOf(client);
      return { source, destination: source === null ? null : identityOf(to) };
    },
    isHost,
    denied: (denial) => denials.push(denial),
  });
  const ask = (
    to: string,
    source: string,
    more: { port?: number; pod?: boolean; masked?: boolean } = {},
  ) => {
    const isPod = more.pod ?? source.startsWith("10.1.");
    const from = more.masked === true ? {} : { from: source };
    const question = { to: { address: to, port: more.port ?? 80 }, source, ...from };
    return dialer.refusal(isPod ? { ...question, client: source } : question) ?? "ok";
  };
  return { dialer, tables, telemetry, dialled, denials, ask };
}

const byLabel = sampleRule({ name: "labels", peers: samplePeers({ groups: ["webs"] }) });
const byIdentity = sampleRule({ name: "accounts", peers: samplePeers({ identities: ["web"] }) });
const GROUPS = { addresses: { webs: [LOCAL_WEB, FAR_WEB] }, identities: { web: [WEB] } };
const UNPROVEN = "its port needs a certificate";
const none = (id: string): string => `no rule of NetworkPolicy shop/${id} matches`;

test("before anything is known only the node's own processes go anywhere", () => {
  const { ask, dialer, tables } = makeDialer();
  assert.equal(ask(FAR_DB, LOCAL_WEB), "its policies are not known yet");
  assert.equal(ask(FAR_DB, OUTSIDE), "its policies are not known yet");
  assert.equal(ask(FAR_DB, NODE), "ok");
  assert.equal(dialer.revision, 0);
  tables.apply(samplePolicies());
  assert.equal(ask(FAR_DB, LOCAL_WEB), "ok");
  assert.equal(dialer.revision, 1);
});

test("what the dialler below refuses stays refused", () => {
  assert.equal(makeDialer({}).ask(FAR_DB, LOCAL_WEB, { port: 1 }), "strict");
});

test("a pod goes where its own rules let it, and to its own node always", () => {
  const pods = { [LOCAL_WEB]: { egress: "out" } };
  const out = sampleRule({ name: "dbs", peers: samplePeers({ groups: ["far-db"] }) });
  const sets = [sampleIsolation("out", "egress", [out])];
  const { ask } = makeDialer({ pods, sets, addresses: { "far-db": [FAR_DB] } });
  assert.equal(ask(FAR_DB, LOCAL_WEB), "ok");
  assert.equal(ask(LOCAL_DB, LOCAL_WEB), none("out"));
  assert.equal(ask(OUTSIDE, LOCAL_WEB), none("out"));
  assert.equal(ask(NODE, LOCAL_WEB), "ok");
  assert.equal(ask(LOCAL_DB, LOCAL_DB), "ok");
  assert.equal(ask(OUTSIDE, LOCAL_DB), "ok");
});

test("a pod goes to its own node unless the cluster's admin denies it", () => {
  const pods = { [LOCAL_WEB]: { egress: "out" } };
  const isolation = sampleIsolation("out", "egress", []);
  const nowhere = sampleRule({ name: "nowhere", action: "deny" });
  const ownNode = sampleSet({ direction: "egress", admin: [nowhere] });
  const { ask } = makeDialer({ pods, sets: [{ ...isolation, ownNode }] });
  assert.match(ask(NODE, LOCAL_WEB), /nowhere/);
});

test("who comes to a pod of this node is judged by address, wherever they come from", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const { ask } = makeDialer({
    ...GROUPS,
    pods,
    sets: [sampleIsolation("db", "ingress", [byLabel])],
  });
  assert.equal(ask(LOCAL_DB, LOCAL_WEB), "ok");
  assert.equal(ask(LOCAL_DB, FAR_WEB), "ok");
  assert.equal(ask(LOCAL_DB, FAR_DB), none("db"));
  assert.equal(ask(LOCAL_DB, OUTSIDE), none("db"));
  assert.equal(ask(LOCAL_DB, NODE), "ok");
});

test("this node proves who its enrolled pods are, to its own pods even without a certificate", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", [byIdentity])];
  const enrolled = makeDialer({ ...GROUPS, pods, sets, enrolled: { [LOCAL_WEB]: WEB } });
  assert.equal(enrolled.ask(LOCAL_DB, LOCAL_WEB), "ok");
  const nobody = makeDialer({ ...GROUPS, pods, sets });
  assert.equal(nobody.ask(LOCAL_DB, LOCAL_WEB), UNPROVEN);
  assert.equal(nobody.ask(LOCAL_DB, FAR_WEB), UNPROVEN);
});

test("what the other node will deny for certain is not chosen; the rest is left to it", () => {
  const pods = { [FAR_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", [byIdentity])];
  const world = { ...GROUPS, pods, sets };
  const tunnelled = makeDialer({ ...world, enrolled: { [LOCAL_WEB]: WEB, [FAR_DB]: DB } });
  assert.equal(tunnelled.ask(FAR_DB, LOCAL_WEB), "ok");
  const plain = makeDialer({ ...world, enrolled: { [LOCAL_WEB]: WEB } });
  assert.equal(plain.ask(FAR_DB, LOCAL_WEB), UNPROVEN);
  assert.equal(plain.ask(FAR_DB, LOCAL_WEB, { masked: true }), "ok");
  assert.equal(plain.ask(FAR_DB, OUTSIDE), "ok");
  const reads = sampleRule({ name: "reads", requests: [{ methods: ["GET"] }] });
  const byRequest = makeDialer({ pods, sets: [sampleIsolation("db", "ingress", [reads])] });
  assert.equal(byRequest.ask(FAR_DB, LOCAL_WEB), "ok");
});

test("whoever dials without asking is refused the same", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const { dialer, dialled } = makeDialer({ pods, sets: [sampleIsolation("db", "ingress", [])] });
  const dial = (address: string) =>
    dialer.dial({ to: { address, port: 80 }, source: LOCAL_WEB, client: LOCAL_WEB }, NOBODY);
  assert.equal(dial(LOCAL_DB), "EACCES");
  assert.deepEqual(dialled, []);
  assert.equal(dial(FAR_DB), "EIO");
  assert.deepEqual(dialled, [FAR_DB]);
});

test("connections that are read serve nobody but the client that they are judged as", () => {
  const reads = sampleRule({ name: "reads", requests: [{ methods: ["GET"] }] });
  const sets = [sampleIsolation("db", "ingress", [reads])];
  const isPersonal = (address: string): boolean =>
    makeDialer({ sets, pods: { [address]: { ingress: "db" } } }).dialer.isPersonal(OUTSIDE);
  assert.equal(isPersonal(LOCAL_DB), true);
  assert.equal(isPersonal(FAR_DB), false);
  assert.equal(makeDialer({}).dialer.isPersonal(OUTSIDE), false);
});

test("a connection that nobody read ends when there come to be rules about its requests", (t) => {
  const reactor = new Reactor(() => 0);
  t.after(() => reactor.stop());
  const closed: (string | undefined)[] = [];
  const owner = { ...NOBODY, onClosed: (code: string | undefined) => closed.push(code) };
  const ends = {
    to: { address: LOCAL_DB, port: 80 },
    from: { address: LOCAL_WEB, port: 40_000 },
    proof: undefined,
  };
  const { near } = new StreamPair(reactor, ends, owner);
  const { dialer, tables, denials } = makeDialer({ pods: {} }, near);
  const asked = { to: ends.to, source: LOCAL_WEB, client: LOCAL_WEB };
  dialer.dial(asked, owner);
  dialer.rejudge();
  assert.deepEqual(closed, []);
  const reads = sampleRule({ name: "reads", requests: [{ methods: ["GET"] }] });
  const sets = [sampleIsolation("db", "ingress", [reads])];
  tables.apply(samplePolicies({ sets, pods: { [LOCAL_DB]: { ingress: "db" } } }));
  dialer.rejudge();
  dialer.rejudge();
  assert.deepEqual(closed, ["EACCES"]);
  const rule = "its requests would have to be read";
  assert.deepEqual(denials, [{ client: LOCAL_WEB, endpoint: ends.to, rule }]);
});

test("asking counts what is refused, and dialling what is made", () => {
  const pods = { [LOCAL_DB]: { ingress: "db" } };
  const sets = [sampleIsolation("db", "ingress", [byLabel])];
  const { ask, dialer, telemetry } = makeDialer({ ...GROUPS, pods, sets });
  ask(LOCAL_DB, LOCAL_WEB);
  ask(LOCAL_DB, OUTSIDE);
  dialer.dial({ to: { address: LOCAL_DB, port: 80 }, source: FAR_WEB }, NOBODY);
  assert.deepEqual(telemetry.take().verdicts, [
    ["ingress", "deny", "NetworkPolicy shop/db", 1],
    ["ingress", "allow", "(none)", 1],
  ]);
});
