// Foreign clients at our door for tunnels: what they carry arrives, and whoever may not come is
// refused before a byte of theirs reaches the pod.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { enterOwnNamespace, sh } from "../netns/own-namespace.ts";
import { EchoServer } from "./echo-server.ts";
import { startEnvoyClient } from "./envoy-hbone.ts";
import { exchangeByIstio, startIstioServer } from "./hbone-peer.ts";
import { exchangeByNode } from "./node-hbone.ts";
import { preparePeers } from "./prepare-peers.ts";
import { makeTestAuthority } from "./test-authority.ts";
import { TunnelNode } from "./tunnel-node.ts";

await preparePeers();
enterOwnNamespace();

const CLIENT = "spiffe://cluster.local/ns/shop/sa/web";
const SERVER = "spiffe://cluster.local/ns/shop/sa/cart";
const POD = "10.1.0.2";
const POD_IP6 = "fd00:1::2";
const OTHER_POD = "10.1.0.3";
const BYTES = 1_000_000;

for (const address of [`${POD}/32`, `${OTHER_POD}/32`]) sh(`ip address add ${address} dev lo`);
sh(`ip address add ${POD_IP6}/128 dev lo nodad`);

const directory = await mkdtemp(join(tmpdir(), "innermesh-tunnel-"));
const authority = await makeTestAuthority(directory);
const { rootsFile } = authority;
const client = await authority.issue(CLIENT);
const server = await authority.issue(SERVER);
const echo = await new EchoServer().listen(POD);
const echoIp6 = await new EchoServer().listen(POD_IP6);
const otherEcho = await new EchoServer().listen(OTHER_POD, Number(echo.address.split(":")[1]));
const node = new TunnelNode({
  bundles: { "cluster.local": authority.roots },
  pods: [POD, POD_IP6].map((address) => ({ address, uri: SERVER, credential: server })),
});
const proxy = `${POD}:15008`;
after(async () => {
  node[Symbol.dispose]();
  for (const one of [echo, echoIp6, otherEcho]) await one[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const identity = { credential: client, rootsFile, peerId: SERVER };

test("Istio's client: ten tunnels at once on one session, a megabyte each way in each", async () => {
  const before = node.handshakes().length;
  const options = { ...identity, proxy, target: echo.address, streams: 10, bytes: BYTES };
  const exchanges = await exchangeByIstio(options);
  const whole = { error: "", opened: true, received: BYTES };
  assert.deepEqual(
    exchanges,
    Array.from({ length: 10 }, () => whole),
  );
  assert.deepEqual(node.handshakes().slice(before), ["server ok"]);
  const { source, destination } = node.records.at(-1) ?? {};
  assert.deepEqual([source, destination], [CLIENT, SERVER]);
});

test("Istio's client over IPv6", async () => {
  const target = echoIp6.address;
  const options = { ...identity, proxy: `[${POD_IP6}]:15008`, target, bytes: BYTES };
  assert.deepEqual(await exchangeByIstio(options), [{ error: "", opened: true, received: BYTES }]);
});

test("Istio's double client: what is in our tunnel is a tunnel to Istio's server", async () => {
  const shared = { listen: `${POD}:0`, credential: server, rootsFile };
  await using inner = await startIstioServer({ ...shared, forwardTo: echo.address });
  const options = { ...identity, proxy, target: inner.address, innerPeerId: SERVER, bytes: BYTES };
  assert.deepEqual(await exchangeByIstio(options), [{ error: "", opened: true, received: BYTES }]);
  assert.equal(inner.arrivals()[0]?.peer, CLIENT);
});

test("Envoy as client, and each side's end reaches the other", async () => {
  const listen = `${OTHER_POD}:7000`;
  await using _ = await startEnvoyClient({ ...identity, listen, proxy, target: echo.address });
  const socket = connect({ host: OTHER_POD, port: 7000, allowHalfOpen: true });
  socket.end(Buffer.alloc(BYTES, "envoy"));
  let received = 0;
  for await (const chunk of socket) received += Buffer.from(chunk).length;
  assert.equal(received, BYTES);
});

suite("a pod that speaks first and resets", async () => {
  const pod = createServer((socket) => {
    socket.write("I speak first");
    socket.on("error", () => {}).once("data", () => socket.resetAndDestroy());
  });
  pod.listen(0, POD);
  await once(pod, "listening");
  const bound = pod.address();
  const target = `${POD}:${bound !== null && typeof bound === "object" ? bound.port : 0}`;
  after(() => pod.close());

  test("is heard through Envoy before the client says a word", async () => {
    const listen = `${OTHER_POD}:7001`;
    await using _ = await startEnvoyClient({ ...identity, listen, proxy, target });
    const socket = connect({ host: OTHER_POD, port: 7001 });
    const [greeting] = (await once(socket, "data")) as [Buffer];
    assert.equal(greeting.toString(), "I speak first");
    socket.destroy();
  });

  test("has not ended in order for node:http2: the stream is reset", async () => {
    const bytes = Buffer.alloc(100);
    const outcome = await exchangeByNode({ proxy, authority: target, credential: client, bytes });
    assert.deepEqual([outcome.status, outcome.error], [200, "ERR_HTTP2_STREAM_ERROR"]);
    assert.equal(outcome.received.toString(), "I speak first");
  });
});

test("node:http2 as client, which sends before it is answered", async () => {
  const bytes = Buffer.from("by node:http2");
  const call = { proxy, authority: echo.address, credential: client, bytes };
  const { status, received } = await exchangeByNode(call);
  assert.deepEqual([status, received.toString()], [200, "by node:http2"]);
});

const port = echo.address.split(":")[1];
const NOT_THIS_POD: Readonly<Record<string, string>> = {
  "another pod": `${OTHER_POD}:${port}`,
  "the node's loopback": `127.0.0.1:${port}`,
  "the loopback of IPv6": `[::1]:${port}`,
  "the pod's address as IPv6 writes it": `[::ffff:${POD}]:${port}`,
  "a name": `localhost:${port}`,
  "cloud metadata": "169.254.169.254:80",
  "no port": POD,
  "port 0": `${POD}:0`,
  "the door itself": `${POD}:15008`,
  "the proxy": `${POD}:15001`,
};

for (const [what, authority] of Object.entries(NOT_THIS_POD)) {
  test(`an authority that is ${what} is refused, and no byte is forwarded`, async () => {
    const before = [echo, otherEcho].map(({ connections }) => connections);
    const bytes = Buffer.from("let me in");
    const outcome = await exchangeByNode({ proxy, authority, credential: client, bytes });
    assert.notEqual(outcome.status, 200);
    assert.ok(outcome.status !== undefined || outcome.error !== "", "it is told so");
    assert.equal(outcome.received.length, 0);
    const now = [echo, otherEcho].map(({ connections }) => connections);
    assert.deepEqual(now, before);
  });
}

test("a request that is no CONNECT is refused", async () => {
  const headers = { ":method": "POST", ":scheme": "https", ":path": "/" };
  const bytes = Buffer.from("a body");
  const call = { proxy, authority: echo.address, credential: client, bytes, headers };
  assert.equal((await exchangeByNode(call)).status, 400);
});
