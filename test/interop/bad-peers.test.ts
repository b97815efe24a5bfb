// Fault F45: peers whose certificates or TLS are not what they must be, at both ends of our tunnels.
// Each is refused before a byte of an application passes, although the clients send theirs with
// CONNECT, unasked.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { enterOwnNamespace, sh } from "../netns/own-namespace.ts";
import { BAD_CREDENTIALS, FOREIGN_DOMAIN } from "./bad-credentials.ts";
import { EchoServer } from "./echo-server.ts";
import { exchangeByNode, NodeServer } from "./node-hbone.ts";
import { createRoot, issue, soundExtensions } from "./openssl-authority.ts";
import { TunnelNode } from "./tunnel-node.ts";

enterOwnNamespace();

const OURS = "spiffe://cluster.local/ns/shop/sa/cart";
const THEIRS = "spiffe://cluster.local/ns/shop/sa/web";
const [OUR_POD, THEIR_POD] = ["10.1.0.2", "10.1.0.3"];
for (const address of [OUR_POD, THEIR_POD]) sh(`ip address add ${address}/32 dev lo`);

const directory = await mkdtemp(join(tmpdir(), "innermesh-bad-peers-"));
const root = await createRoot(directory, "cluster.local");
const foreignRoot = await createRoot(directory, FOREIGN_DOMAIN);
const ours = await issue(root, { extensions: soundExtensions(OURS) });
const theirs = await issue(root, { extensions: soundExtensions(THEIRS) });
const [echo, theirEcho] = [
  await new EchoServer().listen(OUR_POD),
  await new EchoServer().listen(THEIR_POD),
];
const node = new TunnelNode({
  bundles: { "cluster.local": root.chain, [FOREIGN_DOMAIN]: foreignRoot.chain },
  pods: [{ address: OUR_POD, uri: OURS, credential: ours }],
  peers: [{ address: THEIR_POD, uri: THEIRS }],
});
after(async () => {
  node[Symbol.dispose]();
  await echo[Symbol.asyncDispose]();
  await theirEcho[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const proxy = `${OUR_POD}:15008`;
const bytes = Buffer.from("application bytes");
const sound = { proxy, authority: echo.address, credential: theirs, bytes };

test("a sound client is served: the refusals below are for what each of them lacks", async () => {
  const { status, received } = await exchangeByNode(sound);
  assert.deepEqual([status, received.toString()], [200, bytes.toString()]);
});

suite("a client is refused, and the pod hears nothing", () => {
  for (const { fault, make } of BAD_CREDENTIALS) {
    test(`with a certificate that ${fault}`, async () => {
      const credential = await make({ root, foreignRoot, uri: THEIRS });
      await assertRefused({ credential });
    });
  }

  test("without a certificate", async () => assertRefused({ credential: undefined }));

  const MANNERS: Readonly<Record<string, ConnectionOptions>> = {
    "in TLS 1.2": { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    "in TLS 1.2 or better, but not in 1.3's ciphers that we take": {
      ciphers: "TLS_CHACHA20_POLY1305_SHA256",
    },
    "with ALPN http/1.1": { ALPNProtocols: ["http/1.1"] },
    "without ALPN": { ALPNProtocols: [] },
  };
  for (const [manner, tls] of Object.entries(MANNERS)) {
    test(manner, async () => assertRefused({ tls }));
  }

  test("with a ticket of another session in place of a certificate", async () => {
    const session = await takeTicket();
    await assertRefused({ credential: undefined, tls: { session } });
  });
});

suite("a server is left, and hears nothing of the application", () => {
  for (const { fault, make } of BAD_CREDENTIALS) {
    test(`with a certificate that ${fault}`, async () => {
      const credential = await make({ root, foreignRoot, uri: THEIRS });
      const options = { credential, roots: root.chain, host: THEIR_POD, port: 15_008 };
      await using server = await new NodeServer(options).listen();
      await assertLeft(server);
    });
  }

  test("that is another workload than the one dialled", async () => {
    const credential = await issue(root, { extensions: soundExtensions(`${THEIRS}-2`) });
    const options = { credential, roots: root.chain, host: THEIR_POD, port: 15_008 };
    await using server = await new NodeServer(options).listen();
    await assertLeft(server);
  });
});

async function assertRefused(change: Partial<Parameters<typeof exchangeByNode>[0]>): Promise<void> {
  const [connections, handshakes] = [echo.connections, node.handshakes().length];
  const records = node.records.length;
  const outcome = await exchangeByNode({ ...sound, ...change });
  assert.deepEqual([outcome.status, outcome.received.length], [undefined, 0]);
  assert.deepEqual([echo.connections, node.records.length], [connections, records]);
  const result = node.handshakes().slice(handshakes);
  assert.equal(result.length, 1);
  assert.notEqual(result[0], "server ok");
}

async function assertLeft(server: NodeServer): Promise<void> {
  const outcome = await node.exchange(OUR_POD, theirEcho.address, bytes);
  assert.notEqual(outcome.code, "");
  assert.deepEqual([outcome.received.length, theirEcho.connections], [0, 0]);
  assert.deepEqual(server.authorities, []);
}

/** From a server that shows the same certificate as we do, but is another. */
async function takeTicket(): Promise<Buffer> {
  const options = { credential: ours, roots: root.chain, host: THEIR_POD, port: 0 };
  await using server = await new NodeServer(options).listen();
  const port = Number(server.address.split(":")[1]);
  const { chain: cert, key } = theirs;
  const own = { host: THEIR_POD, port, cert, key, ALPNProtocols: ["h2"] };
  const socket = connectTls({ ...own, rejectUnauthorized: false });
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  socket.on("session", resolve).on("error", reject);
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
