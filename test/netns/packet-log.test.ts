// Packets that rules log, as the kernel hands them over.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { openPacketLog } from "../../lib/netlink/packet-log.ts";
import type { LoggedPacket } from "../../lib/netlink/packet-log-codec.ts";
import { enterOwnNamespace, run } from "./own-namespace.ts";
import { until } from "./served-node.ts";

enterOwnNamespace();

const GROUP = 77;
const PORT = 9_999;
const RULE = `udp dport ${PORT} log prefix "denied-in" group ${GROUP} counter drop`;
run("nft", "add table inet t; add chain inet t out { type filter hook output priority 0; }");
run("nft", `add rule inet t out ${RULE}`);

async function send(address: string): Promise<void> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  await new Promise((resolve) => socket.send("x", PORT, address, resolve));
  socket.close();
}

test("a packet that a rule logs is told, and its group is one process's at a time", async () => {
  const packets: LoggedPacket[] = [];
  const ends: string[] = [];
  const onEnd = (code: string): number => ends.push(code);
  const onPacket = (packet: LoggedPacket): number => packets.push(packet);
  const log = openPacketLog({ group: GROUP, onPacket, onEnd });
  assert.equal(await log.joined, true);
  const other = openPacketLog({ group: GROUP, onPacket, onEnd });
  assert.equal(await other.joined, false);
  assert.deepEqual(ends, ["EPERM"]);
  for (const address of ["127.0.0.1", "::1"]) await send(address);
  await until("both packets", () => packets.length === 2);
  assert.deepEqual(
    packets.map(({ sourcePort, ...packet }) => ({ ...packet, hasPort: sourcePort > 0 })),
    ["127.0.0.1", "::1"].map((address) => ({
      prefix: "denied-in",
      source: address,
      destination: address,
      protocol: 17,
      destinationPort: PORT,
      hasPort: true,
    })),
  );
  log.close();
  const next = openPacketLog({ group: GROUP, onPacket, onEnd });
  assert.equal(await next.joined, true);
  next.close();
});
