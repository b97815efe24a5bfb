// Our tunnels to foreign servers: what they carry arrives in order and to the end, the servers see
// what ambient's client would have told them, and their refusals and ends become a socket's errors.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterOwnNamespace, sh } from "../netns/own-namespace.ts";
import { EchoServer } from "./echo-server.ts";
import { startEnvoyServer } from "./envoy-hbone.ts";
import { startIstioServer } from "./hbone-peer.ts";
import { NodeServer } from "./node-hbone.ts";
import { preparePeers } from "./prepare-peers.ts";
import { makeTestAuthority } from "./test-authority.ts";
import { TunnelNode } from "./tunnel-node.ts";

await preparePeers();
enterOwnNamespace();

const CLIENT = "spiffe://cluster.local/ns/shop/sa/web";
const SERVER = "spiffe://cluster.local/ns/shop/sa/cart";
const POD = "10.1.0.2";
const [PEER, PEER_IP6] = ["10.1.0.3", "fd00:1::3"];
const POD_IP6 = "fd00:1::2";
const DATA = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i ^ (i >> 8) ^ (i >> 16)));

for (const address of [POD, PEER]) sh(`ip address add ${address}/32 dev lo`);
for (const address of [POD_IP6, PEER_IP6]) sh(`ip address add ${address}/128 dev lo nodad`);

const directory = await mkdtemp(join(tmpdir(), "innermesh-tunnel-"));
const authority = await makeTestAuthority(directory);
const client = await authority.issue(CLIENT);
const server = await authority.issue(SERVER);
const echo = await new EchoServer().listen(PEER);
const echoIp6 = await new EchoServer().listen(PEER_IP6);
const shared = { credential: server, rootsFile: authority.rootsFile };
const listen = `${PEER}:15008`;
after(async () => {
  await echo[Symbol.asyncDispose]();
  await echoIp6[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

test("Istio's server: twenty connections at once on one session, megabytes in each", async () => {
  await using peer = await startIstioServer({ ...shared, listen });
  using node = newNode();
  const calls = Array.from({ length: 20 }, () => node.exchange(POD, echo.address, DATA));
  for (const { code, received } of await Promise.all(calls)) {
    assert.equal(code, "");
    assert.ok(received.equals(DATA));
  }
  assert.deepEqual(node.handshakes(), ["client ok"]);
  const [arrival] = peer.arrivals();
  assert.deepEqual([arrival?.peer, arrival?.authority], [CLIENT, echo.address]);
});

test("Istio's server is told the client as ambient tells it", async () => {
  await using peer = await startIstioServer({ ...shared, listen });
  using node = newNode();
  await node.exchange(POD, echo.address, DATA);
  const { Forwarded, Baggage, Traceparent } = peer.arrivals()[0]?.headers ?? {};
  assert.deepEqual(Forwarded, [`for=${POD}`]);
  assert.match(Baggage?.[0] ?? "", /\bk8s\.namespace\.name=shop\b.*\bk8s\.pod\.name=web-1\b/);
  assert.match(Traceparent?.[0] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test("Istio's server over IPv6", async () => {
  await using peer = await startIstioServer({ ...shared, listen: `[${PEER_IP6}]:15008` });
  using node = newNode();
  const { code, received } = await node.exchange(POD_IP6, echoIp6.address, DATA);
  assert.deepEqual([code, received.equals(DATA)], ["", true]);
  assert.equal(peer.arrivals()[0]?.authority, echoIp6.address);
});

test("Istio's server ends and comes back: a new session serves the next connection", async () => {
  using node = newNode();
  {
    await using _ = await startIstioServer({ ...shared, listen });
    assert.equal((await node.exchange(POD, echo.address, DATA)).code, "");
  }
  assert.equal((await node.exchange(POD, echo.address, DATA)).code, "ECONNREFUSED");
  await using _ = await startIstioServer({ ...shared, listen });
  assert.equal((await node.exchange(POD, echo.address, DATA)).code, "");
});

test("Envoy as server, which asks for our identity", async () => {
  await using envoy = await startEnvoyServer({ ...shared, listen, peerId: CLIENT });
  using node = newNode();
  const { code, received } = await node.exchange(POD, echo.address, DATA);
  assert.deepEqual([code, received.equals(DATA)], ["", true]);
  const [tunnel] = await envoy.waitForTunnels(1);
  assert.deepEqual([tunnel?.peer, tunnel?.authority], [CLIENT, echo.address]);
});

test("Envoy cannot reach the port: the client is refused as by the pod itself", async () => {
  await using _ = await startEnvoyServer({ ...shared, listen });
  using node = newNode();
  const { code, received } = await node.exchange(POD, `${PEER}:1`, DATA);
  assert.deepEqual([code, received.length], ["ECONNREFUSED", 0]);
});

test("Envoy wants another identity than ours: nothing is carried", async () => {
  const before = echo.connections;
  await using _ = await startEnvoyServer({ ...shared, listen, peerId: `${CLIENT}-2` });
  using node = newNode();
  const { code, received } = await node.exchange(POD, echo.address, DATA);
  assert.notEqual(code, "");
  assert.deepEqual([received.length, echo.connections], [0, before]);
});

test("node:http2 as server", async () => {
  const options = { credential: server, roots: authority.roots, host: PEER, port: 15_008 };
  await using peer = await new NodeServer(options).listen();
  using node = newNode();
  const { code, received } = await node.exchange(POD, echo.address, DATA);
  assert.deepEqual([code, received.equals(DATA)], ["", true]);
  assert.deepEqual(peer.peers, [`URI:${CLIENT}`]);
});

/** A node whose pod is enrolled, with sessions of its own. */
function newNode(): TunnelNode {
  return new TunnelNode({
    bundles: { "cluster.local": authority.roots },
    pods: [POD, POD_IP6].map((address) => ({ address, uri: CLIENT, credential: client })),
    peers: [PEER, PEER_IP6].map((address) => ({ address, uri: SERVER })),
  });
}
