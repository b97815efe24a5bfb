import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import type { StreamOwner } from "../../lib/reactor/byte-stream.ts";
import {
  DB,
  DB_POD,
  HOST,
  NOTHING_NEW,
  OTHER_WEB_POD,
  readAll,
  SampleTunnel,
  gone,
  until,
  WEB,
  WEB_POD,
} from "./sample-tunnel.ts";

const NOBODY: StreamOwner = { onData() {}, onEnd() {}, onDrained() {}, onClosed() {} };
const NODE = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";
const HOST_WORKLOAD = {
  identity: NODE,
  namespace: "kube-system",
  pod: "n",
  uid: "n",
  mode: "permissive",
} as const;
const MINUTE_MS = 60_000;

/** The code that a dial fails with. */
async function failure(tunnel: SampleTunnel, port = 80): Promise<string | undefined> {
  let code: string | undefined = "";
  const to = { address: DB_POD, port };
  const onClosed = (closed: string | undefined): void => {
    code = closed;
  };
  const stream = tunnel.dialer.dial({ to, client: WEB_POD }, { ...NOBODY, onClosed });
  assert(typeof stream !== "string");
  await until(() => code !== "", "the dial to fail");
  return code;
}

async function echo(tunnel: SampleTunnel): Promise<number> {
  return await tunnel.app((socket) => socket.pipe(socket));
}

/** A connection that stands: it has carried something. */
async function standing(tunnel: SampleTunnel, port: number): Promise<Socket> {
  const socket = tunnel.dial(port);
  socket.write("x");
  await once(socket, "data");
  return socket;
}

/** What comes back of a last word. */
async function lastWord(socket: Socket, text: string): Promise<string> {
  const received = readAll(socket);
  socket.end(text);
  return (await received).toString();
}

function says(tunnel: SampleTunnel, port: number, text: string): Promise<string> {
  return lastWord(tunnel.dial(port), text);
}

test("somebody else at the pod's address gets no request: only the expected identity does", async () => {
  using tunnel = new SampleTunnel();
  const peer = { identity: "spiffe://cluster.local/ns/shop/sa/cache", uid: "db-1" };
  tunnel.tell("client", { ...NOTHING_NEW, peers: [[DB_POD, peer]] });
  assert.equal(await failure(tunnel), "EIDENTITY");
  assert.deepEqual(tunnel.client.parts.telemetry.take().handshakes, [["client", "identity", 1]]);
  await until(() => tunnel.tunnels.isIdle, "the server to see the end");
  assert.deepEqual(tunnel.server.records, []);
  assert.deepEqual(tunnel.server.dialled, []);
});

test("a pod without a certificate waits for it, and nothing goes in plaintext", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  tunnel.tell("client", { ...NOTHING_NEW, credentials: [[WEB, null]] });
  const waiting = says(tunnel, port, "patience");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(tunnel.client.dialled, []);
  tunnel.tell("client", { ...NOTHING_NEW, credentials: [[WEB, tunnel.credential(WEB)]] });
  assert.equal(await waiting, "patience");
  assert.deepEqual(tunnel.client.dialled, [{ to: `${DB_POD}:15008`, from: WEB_POD }]);
});

test("it does not wait for ever: after ten seconds the dial fails", async () => {
  using tunnel = new SampleTunnel();
  tunnel.tell("client", { ...NOTHING_NEW, credentials: [[WEB, null]] });
  const failed = failure(tunnel);
  tunnel.sweep(11);
  assert.equal(await failed, "ETIMEDOUT");
});

test("a node that does not know yet that its pod is enrolled is asked again, for a while", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  tunnel.tell("server", { ...NOTHING_NEW, workloads: [[DB_POD, null]] });
  const waiting = says(tunnel, port, "news");
  await until(() => tunnel.tunnels.isIdle && tunnel.client.dialled.length > 1, "two refusals");
  const db = { identity: DB, namespace: "shop", pod: "db", uid: "db-1", mode: "strict" } as const;
  tunnel.tell("server", { ...NOTHING_NEW, workloads: [[DB_POD, db]] });
  assert.equal(await waiting, "news");
  tunnel.tell("server", { ...NOTHING_NEW, workloads: [[DB_POD, null]] });
  assert.equal(await failure(tunnel), "ECONNRESET");
});

test("refusals are told as what they would be without a tunnel", async () => {
  using tunnel = new SampleTunnel();
  assert.equal(await failure(tunnel, 1), "ECONNREFUSED");
  tunnel.verdict = { kind: "deny", rule: "r" };
  assert.equal(await failure(tunnel), "EACCES");
});

test("only what goes from an enrolled pod to an enrolled pod elsewhere takes a tunnel", () => {
  using tunnel = new SampleTunnel();
  const { dialer } = tunnel;
  const kind = (address: string, client?: string): string =>
    dialer.routeOf({ address, port: 80 }, client).kind;
  assert.equal(kind(DB_POD, WEB_POD), "tunnel");
  assert.equal(kind(DB_POD), "plaintext");
  assert.equal(kind(DB_POD, "10.1.0.77"), "plaintext");
  assert.equal(kind("10.9.9.9", WEB_POD), "plaintext");
  assert.equal(kind("10.1.0.2", WEB_POD), "node");
  assert.equal(kind("10.1.0.2"), "plaintext");
  tunnel.verdict = { kind: "deny", rule: "r" };
  assert.equal(kind("10.1.0.2", WEB_POD), "denied");
  const strict = {
    identity: WEB,
    namespace: "shop",
    pod: "web-2",
    uid: "web-2",
    mode: "strict",
  } as const;
  tunnel.tell("client", { ...NOTHING_NEW, workloads: [["10.1.0.2", strict]] });
  assert.equal(dialer.dial({ to: { address: "10.1.0.2", port: 80 } }, NOBODY), "EACCES");
  assert.equal(dialer.isPersonal(WEB_POD), true);
  assert.equal(dialer.isPersonal("10.1.0.77"), false);
});

test("a process of the node proves the node's identity, and no policy of its pods binds it", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  tunnel.egress = { kind: "deny", rule: "r" };
  tunnel.tell("client", {
    ...NOTHING_NEW,
    credentials: [[NODE, tunnel.credential(NODE)]],
    host: HOST_WORKLOAD,
  });
  assert.equal(await lastWord(tunnel.dial(port, HOST), "hello"), "hello");
  await until(() => tunnel.server.records.length === 1, "the server's record");
  assert.equal(tunnel.server.records[0]?.source, NODE);
  assert.deepEqual(tunnel.client.dialled, [{ to: `${DB_POD}:15008`, from: undefined }]);
  assert.equal(tunnel.dialer.isPersonal(HOST), true);
  const strict = { identity: WEB, namespace: "shop", pod: "s", uid: "s", mode: "strict" } as const;
  tunnel.tell("client", { ...NOTHING_NEW, workloads: [[WEB_POD, strict]] });
  const to = { address: WEB_POD, port };
  assert.equal(tunnel.dialer.refusal({ to, source: HOST }), undefined);
  assert.equal(tunnel.dialer.refusal({ to, source: "198.51.100.7" }), "strict");
});

test("without its certificate a node speaks plaintext, as does one without an identity", async () => {
  using tunnel = new SampleTunnel();
  const kind = () => tunnel.dialer.routeOf({ address: DB_POD, port: 80 }, HOST).kind;
  assert.equal(kind(), "plaintext");
  tunnel.tell("client", { ...NOTHING_NEW, host: HOST_WORKLOAD });
  assert.equal(kind(), "plaintext");
  const port = await echo(tunnel);
  assert.equal(await lastWord(tunnel.dial(port, HOST), "hello"), "hello");
  assert.deepEqual(tunnel.client.dialled, [{ to: `${DB_POD}:${port}`, from: HOST }]);
  tunnel.tell("client", { ...NOTHING_NEW, credentials: [[NODE, tunnel.credential(NODE)]] });
  assert.equal(kind(), "tunnel");
  tunnel.tell("client", { ...NOTHING_NEW, host: null });
  assert.equal(kind(), "plaintext");
});

test("the direct door carries no node's connection to whoever is not enrolled elsewhere", async () => {
  using tunnel = new SampleTunnel();
  tunnel.tell("client", {
    ...NOTHING_NEW,
    credentials: [[NODE, tunnel.credential(NODE)]],
    host: HOST_WORKLOAD,
  });
  await gone(tunnel.dial(80, HOST, "127.0.0.1"));
  assert.deepEqual(tunnel.client.dialled, []);
});

test("what is under way to a pod that leaves the mesh goes on, and nothing new is begun", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const socket = await standing(tunnel, port);
  tunnel.tell("client", { ...NOTHING_NEW, peers: [[DB_POD, null]] });
  assert.equal(tunnel.dialer.routeOf({ address: DB_POD, port }, WEB_POD).kind, "plaintext");
  assert.equal(await lastWord(socket, "y"), "y");
  await until(() => tunnel.tunnels.isIdle, "the session to end");
  tunnel.sweep();
  assert(tunnel.dialer.isIdle);
});

test("a pod that is leaving the mesh begins no tunnel, and ends none", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const socket = await standing(tunnel, port);
  const leaving = {
    identity: WEB,
    namespace: "shop",
    pod: "web-1",
    uid: "web-1",
    mode: "leaving",
  } as const;
  tunnel.tell("client", { ...NOTHING_NEW, workloads: [[WEB_POD, leaving]] });
  assert.equal(tunnel.dialer.routeOf({ address: DB_POD, port }, WEB_POD).kind, "plaintext");
  assert.equal(await lastWord(socket, "y"), "y");
});

test("a session ends with its pod: another one at the address starts anew", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const socket = await standing(tunnel, port);
  const closed = gone(socket);
  tunnel.tell("client", { ...NOTHING_NEW, peers: [[DB_POD, { identity: DB, uid: "db-2" }]] });
  await closed;
  assert.equal(await says(tunnel, port, "anew"), "anew");
  assert.equal(tunnel.client.dialled.length, 2);
});

for (const side of ["client", "server"] as const) {
  test(`a ban, and the end of a bundle, close what is open (${side})`, async () => {
    for (const delta of [
      { ...NOTHING_NEW, bans: [{ node: "node-1", untilMs: Date.now() + MINUTE_MS }] },
      { ...NOTHING_NEW, bundles: [["cluster.local", null]] as const },
    ]) {
      using tunnel = new SampleTunnel();
      const port = await echo(tunnel);
      const socket = await standing(tunnel, port);
      const closed = gone(socket);
      tunnel.tell(side, delta);
      await closed;
    }
  });
}

test("a renewed certificate takes over for new connections, and cuts no old one", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const old = await standing(tunnel, port);
  tunnel.tell("client", { ...NOTHING_NEW, credentials: [[WEB, tunnel.credential(WEB)]] });
  tunnel.tell("server", { ...NOTHING_NEW, credentials: [[DB, tunnel.credential(DB)]] });
  assert.equal(await says(tunnel, port, "new"), "new");
  assert.equal(tunnel.client.dialled.length, 2);
  assert.equal(await lastWord(old, "y"), "y");
});

test("certificates bound the age of a session, first for new streams and then for all", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const short = tunnel.credential(DB, Date.now() + 5 * MINUTE_MS);
  tunnel.tell("server", { ...NOTHING_NEW, credentials: [[DB, short]] });
  const old = await standing(tunnel, port);
  tunnel.tell("server", { ...NOTHING_NEW, credentials: [[DB, tunnel.credential(DB)]] });
  tunnel.aheadMs += 4.5 * MINUTE_MS;
  tunnel.sweep();
  assert.equal(await says(tunnel, port, "new"), "new");
  assert.equal(tunnel.client.dialled.length, 2);
  old.write("y");
  await once(old, "data");
  tunnel.aheadMs += MINUTE_MS;
  const closed = gone(old);
  tunnel.sweep();
  await closed;
});

test("sessions without a stream end after 90 s, and pools with them", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  assert.equal(await says(tunnel, port, "x"), "x");
  // Pings are answered in between, as on a clock that runs.
  for (let seconds = 0; seconds < 100; seconds++) {
    tunnel.sweep();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => {
    tunnel.sweep();
    return tunnel.dialer.isIdle && tunnel.tunnels.isIdle;
  }, "both ends to close");
});

test("a peer that vanished after its handshake is found within 30 s, and nothing waits for it", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const socket = await standing(tunnel, port);
  // Nobody answers: time passes for the client, and the server is never given a turn.
  const closed = gone(socket);
  for (let seconds = 0; seconds < 25; seconds++) tunnel.sweep();
  await closed;
  tunnel.sweep();
  assert.equal(await says(tunnel, port, "again"), "again");
});

test("a door that answers no handshake is given up after ten seconds", async () => {
  using tunnel = new SampleTunnel();
  const silent = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
  await once(silent, "listening");
  tunnel.tunnelPort = (silent.address() as AddressInfo).port;
  const failed = failure(tunnel);
  await until(() => tunnel.client.dialled.length === 1, "the dial");
  tunnel.sweep(11);
  assert.equal(await failed, "ETIMEDOUT");
  silent.close();
});

test("a session carries 200 streams, and the next ones go to another", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  let opened = 0;
  const to = { address: DB_POD, port };
  for (let i = 0; i < 250; i++) {
    tunnel.dialer.dial({ to, client: WEB_POD }, { ...NOBODY, onOpen: () => opened++ });
  }
  await until(() => opened === 250, "all of them to open");
  assert.equal(tunnel.client.dialled.length, 2);
  assert.equal(tunnel.client.parts.telemetry.take().sides.client.sessions, 2);
});

test("pods that dial pods: what took no tunnel is told, and as what it is", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  for (const address of [OTHER_WEB_POD, "10.9.9.9"]) {
    assert.equal(await lastWord(tunnel.dial(port, WEB_POD, address), "abc"), "abc");
  }
  tunnel.verdict = { kind: "deny", rule: "shop/alone" };
  await gone(tunnel.dial(port, WEB_POD, OTHER_WEB_POD));
  await gone(tunnel.dial(port, "10.1.0.77", OTHER_WEB_POD));
  await until(() => tunnel.relays.isIdle, "the relays to end");
  const told = tunnel.client.records.map(
    ({ via, source, destination, sentBytes, receivedBytes, result, rule }) =>
      [via, source, destination, sentBytes, receivedBytes, result, rule] as const,
  );
  assert.deepEqual(told, [
    ["node", WEB, WEB, 3, 3, "ok", undefined],
    ["plaintext", WEB, undefined, 3, 3, "ok", undefined],
    ["node", WEB, WEB, 0, 0, "denied", "shop/alone"],
  ]);
});

test("a pod that dials thousands of others leaves room for the other pods of its node", () => {
  using tunnel = new SampleTunnel();
  const addresses = Array.from({ length: 8_000 }, (_, i) => `10.3.${i >> 8}.${i & 255}`);
  tunnel.tell("client", {
    ...NOTHING_NEW,
    credentials: [[WEB, null]],
    peers: addresses.map((address) => [address, { identity: DB, uid: address }]),
  });
  /** Of the peers, how many got a connection that waits for its session. */
  const dialAll = (client: string): number => {
    const streams = addresses.map((address) =>
      tunnel.dialer.dial({ to: { address, port: 80 }, client }, NOBODY),
    );
    return streams.filter((stream) => stream !== "EAGAIN").length;
  };
  const first = dialAll(WEB_POD);
  const second = dialAll(OTHER_WEB_POD);
  assert.ok(first < addresses.length && second > first / 2, `${first}, ${second}`);
  tunnel.tell("client", {
    ...NOTHING_NEW,
    workloads: [["10.1.0.3", { ...HOST_WORKLOAD, identity: WEB }]],
  });
  assert.ok(dialAll("10.1.0.3") > second / 2);
  tunnel.sweep(11);
  assert.ok(tunnel.dialer.isIdle);
  assert.equal(dialAll(WEB_POD), first, "what is over counts no more");
});
