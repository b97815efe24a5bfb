// Policies and connections between enrolled pods: those that begin, and those that go on when what
// is allowed changes.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { DB_POD, gone, OTHER_WEB_POD, SampleTunnel, until, WEB_POD } from "./sample-tunnel.ts";

const RULE = "NetworkPolicy shop/db";
const DENIED = { kind: "deny", rule: RULE } as const;

async function echo(tunnel: SampleTunnel): Promise<number> {
  return await tunnel.app((socket) => socket.pipe(socket));
}

/** Open, and carrying bytes both ways. */
async function open(tunnel: SampleTunnel, port: number, to = DB_POD): Promise<Socket> {
  const socket = tunnel.dial(port, WEB_POD, to);
  socket.write("x");
  await once(socket, "data");
  return socket;
}

async function stillOpen(socket: Socket): Promise<void> {
  socket.write("y");
  await once(socket, "data");
}

test("a pod that may not call is denied at its own node, tunnel or not", async () => {
  using tunnel = new SampleTunnel();
  tunnel.egress = DENIED;
  for (const to of [DB_POD, "10.9.9.9"]) await gone(tunnel.dial(80, WEB_POD, to));
  await until(() => tunnel.relays.isIdle, "the relays to end");
  assert.deepEqual(
    tunnel.client.records.map(({ result, rule }) => [result, rule]),
    [
      ["denied", RULE],
      ["denied", RULE],
    ],
  );
  assert.deepEqual(tunnel.client.dialled, []);
});

test("streams that are allowed no more end, by the rule; others of their session go on", async () => {
  using tunnel = new SampleTunnel();
  const [shut, kept] = [await echo(tunnel), await echo(tunnel)];
  const socket = await open(tunnel, shut);
  const other = await open(tunnel, kept);
  tunnel.tunnels.rejudge();
  await stillOpen(socket);
  tunnel.verdictOf = ({ target }) => (target.port === shut ? DENIED : { kind: "allow" });
  const closed = gone(socket);
  tunnel.tunnels.rejudge();
  await closed;
  await stillOpen(other);
  const [record] = tunnel.server.records;
  assert.deepEqual(
    [record?.result, record?.rule, record?.target.port, record?.sentBytes],
    ["denied", RULE, shut, 2],
  );
  assert.equal(tunnel.server.records.length, 1);
});

test("what goes on between pods of one node ends when either rule changes", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  const socket = await open(tunnel, port, OTHER_WEB_POD);
  tunnel.relays.rejudge();
  await stillOpen(socket);
  tunnel.verdict = DENIED;
  const closed = gone(socket);
  tunnel.relays.rejudge();
  await closed;
  const [record] = tunnel.client.records;
  assert.deepEqual([record?.result, record?.rule, record?.via], ["denied", RULE, "node"]);
});

test("what leaves a node ends when its pod may call no more", async () => {
  using tunnel = new SampleTunnel();
  const port = await echo(tunnel);
  for (const to of [DB_POD, "10.9.9.9"]) {
    tunnel.egress = { kind: "allow" };
    const socket = await open(tunnel, port, to);
    tunnel.egress = DENIED;
    const closed = gone(socket);
    tunnel.relays.rejudge();
    await closed;
  }
  await until(() => tunnel.server.records.length === 1, "the server to hear");
  assert.deepEqual(tunnel.client.records.at(-1)?.rule, RULE);
});
