// The ways a try can end, told apart on real sockets.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";

import { tryProbe } from "./probe.ts";
import type { ProbeProtocol } from "./probe-protocol.ts";

/** What a server does to who connects, by the port it does it on. */
const manners: Readonly<Record<string, (socket: Socket) => void>> = {
  hangs: () => {},
  closes: (socket) => socket.end(),
  resets: (socket) => {
    setTimeout(() => socket.resetAndDestroy(), 50);
  },
};

suite("a try ends", () => {
  const sockets = new Set<Socket>();
  const servers = Object.entries(manners).map(([name, manner]) => ({
    name,
    server: createServer((socket) => {
      sockets.add(socket.on("error", () => {}));
      manner(socket);
    }),
  }));
  before(async () => {
    for (const { server } of servers) await once(server.listen(0, "127.0.0.1"), "listening");
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    for (const { server } of servers) server.close();
  });

  const ask = (name: string, protocol: ProbeProtocol = "tcp") => {
    const address = servers.find((one) => one.name === name)?.server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    // Only silence is waited out.
    const timeoutMs = name === "hangs" ? 200 : 10_000;
    return tryProbe({ protocol, address: "127.0.0.1", port, timeoutMs });
  };

  for (const protocol of ["tcp", "http"] as const) {
    test(`as a timeout after the handshake when the server says nothing: ${protocol}`, async () => {
      assert.deepEqual(await ask("hangs", protocol), { kind: "timeout", phase: "answer" });
    });
    test(`as closed when the server hangs up: ${protocol}`, async () => {
      assert.deepEqual(await ask("closes", protocol), { kind: "closed" });
    });
    test(`as a reset after the handshake when the server resets: ${protocol}`, async () => {
      assert.deepEqual(await ask("resets", protocol), { kind: "reset", phase: "answer" });
    });
  }

  test("as unreachable when there is no way", async () => {
    // The kernel lets nobody broadcast who has not asked for it.
    const result = await tryProbe({
      protocol: "udp",
      address: "255.255.255.255",
      port: 9,
      timeoutMs: 10_000,
    });
    assert.equal(result.kind, "unreachable");
  });

  test("as failed when the source port is taken", async () => {
    const [hanging] = servers;
    const address = hanging?.server.address();
    const taken = typeof address === "object" && address !== null ? address.port : 0;
    const target = { protocol: "tcp", address: "127.0.0.1", port: taken } as const;
    const result = await tryProbe({ ...target, sourcePort: taken, timeoutMs: 10_000 });
    assert.equal(result.kind, "failed");
  });
});
