// The foreign peers against each other: that they speak HBONE, refuse whom they must, and take the
// certificates of our authority. What they say of our tunnels is worth as much as this.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { findFreePort } from "../cluster/free-port.ts";
import { EchoServer } from "./echo-server.ts";
import { startEnvoyClient, startEnvoyServer } from "./envoy-hbone.ts";
import { type Exchange, exchangeByIstio, startIstioServer } from "./hbone-peer.ts";
import { exchangeByNode, NodeServer } from "./node-hbone.ts";
import { type Credential, createRoot, issue, soundExtensions } from "./openssl-authority.ts";
import { makeTestAuthority } from "./test-authority.ts";

const HOST = "127.0.0.1";
const CLIENT = "spiffe://cluster.local/ns/shop/sa/web";
const SERVER = "spiffe://cluster.local/ns/shop/sa/cart";
const BYTES = 300_000;

interface Pki {
  readonly roots: string;
  readonly rootsFile: string;
  readonly issue: (uri: string) => Promise<Credential>;
}

const directory = await mkdtemp(join(tmpdir(), "innermesh-peers-"));
const openssl = await createRoot(directory, "cluster.local");
const authorities: Readonly<Record<string, Pki>> = {
  "openssl's certificates": {
    roots: openssl.chain,
    rootsFile: openssl.chainFile,
    issue: async (uri) => issue(openssl, { extensions: soundExtensions(uri) }),
  },
  "our authority's certificates": await makeTestAuthority(directory),
};
const echo = await new EchoServer().listen(HOST);
after(async () => {
  await echo[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

for (const [whose, pki] of Object.entries(authorities)) {
  suite(`with ${whose}`, async () => {
    const { rootsFile, roots } = pki;
    const [client, server] = [await pki.issue(CLIENT), await pki.issue(SERVER)];
    const shared = { target: echo.address, rootsFile, credential: client, peerId: SERVER };

    test("Istio's client reaches Istio's server, three tunnels on one session", async () => {
      const listen = `${HOST}:0`;
      await using peer = await startIstioServer({ listen, rootsFile, credential: server });
      const options = { ...shared, proxy: peer.address, streams: 3, bytes: BYTES };
      assertEchoed(await exchangeByIstio(options), 3);
      const [arrival] = peer.arrivals();
      assert.deepEqual(
        [arrival?.authority, arrival?.peer, arrival?.alpn, arrival?.tls],
        [echo.address, CLIENT, "h2", "TLS 1.3"],
      );
    });

    test("Istio's client reaches Envoy, and Envoy knows it", async () => {
      const listen = `${HOST}:${await findFreePort(HOST)}`;
      const options = { listen, rootsFile, credential: server, peerId: CLIENT };
      await using envoy = await startEnvoyServer(options);
      assertEchoed(await exchangeByIstio({ ...shared, proxy: listen, bytes: BYTES }), 1);
      const [tunnel] = await envoy.waitForTunnels(1);
      assert.deepEqual([tunnel?.peer, tunnel?.authority], [CLIENT, echo.address]);
    });

    test("Envoy as client reaches Istio's server", async () => {
      const peer = await startIstioServer({ listen: `${HOST}:0`, rootsFile, credential: server });
      await using _ = peer;
      const listen = `${HOST}:${await findFreePort(HOST)}`;
      await using envoy = await startEnvoyClient({ ...shared, listen, proxy: peer.address });
      assert.equal(await askPlainly(listen, "through Envoy"), "through Envoy");
      assert.deepEqual(envoy.tunnels(), []);
      assert.equal(peer.arrivals()[0]?.peer, CLIENT);
    });

    test("Istio's client reaches Node, and Node reaches Istio's server", async () => {
      await using node = await new NodeServer({ credential: server, roots, host: HOST }).listen();
      assertEchoed(await exchangeByIstio({ ...shared, proxy: node.address, bytes: BYTES }), 1);
      assert.deepEqual([node.authorities, node.peers], [[echo.address], [`URI:${CLIENT}`]]);
      const listen = `${HOST}:0`;
      await using peer = await startIstioServer({ listen, rootsFile, credential: server });
      const bytes = Buffer.from("by node:http2");
      const call = { proxy: peer.address, authority: echo.address, credential: client, bytes };
      const { status, received } = await exchangeByNode(call);
      assert.deepEqual([status, received.toString()], [200, "by node:http2"]);
    });

    test("Istio's client reaches Istio's server through another, in a tunnel in a tunnel", async () => {
      const common = { listen: `${HOST}:0`, rootsFile, credential: server };
      await using outer = await startIstioServer(common);
      await using inner = await startIstioServer({ ...common, forwardTo: echo.address });
      const options = { ...shared, proxy: outer.address, target: inner.address };
      assertEchoed(await exchangeByIstio({ ...options, innerPeerId: SERVER, bytes: BYTES }), 1);
      assert.equal(inner.arrivals()[0]?.peer, CLIENT);
    });

    test("whoever shows no certificate, speaks TLS 1.2 or meets another is refused", async () => {
      const listen = `${HOST}:0`;
      await using peer = await startIstioServer({ listen, rootsFile, credential: server });
      const before = echo.received;
      const { credential: _, ...anonymous } = shared;
      const proxy = peer.address;
      assertRefused(await exchangeByIstio({ ...anonymous, proxy }));
      assertRefused(await exchangeByIstio({ ...shared, proxy, tls12: true }));
      assertRefused(await exchangeByIstio({ ...shared, proxy, peerId: CLIENT }));
      assert.deepEqual([peer.arrivals(), echo.received - before], [[], 0]);
    });
  });
}

function assertEchoed(exchanges: readonly Exchange[], count: number): void {
  assert.deepEqual(
    exchanges.map(({ error, opened }) => ({ error, opened })),
    Array.from({ length: count }, () => ({ error: "", opened: true })),
  );
}

/** Why is a matter of chance: TLS 1.3 tells a client when it has already begun to talk. */
function assertRefused(exchanges: readonly Exchange[]): void {
  assert.deepEqual(
    exchanges.map(({ opened }) => opened),
    [false],
  );
}

async function askPlainly(address: string, question: string): Promise<string> {
  const port = Number(address.split(":")[1]);
  const socket = connect({ host: HOST, port });
  try {
    socket.setEncoding("utf8").write(question);
    let answer = "";
    for await (const chunk of socket) {
      answer += String(chunk);
      if (answer.length >= question.length) break;
    }
    return answer;
  } finally {
    socket.destroy();
  }
}
