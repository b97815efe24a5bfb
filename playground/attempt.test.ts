// Probes against echo listeners on loopback: both ends of the playground's conversation.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";

import { attempt } from "./attempt.ts";
import { type EchoListeners, openEchoListeners } from "./echo-listeners.ts";
import type { EchoIdentity } from "./echo-protocol.ts";

const identity: EchoIdentity = {
  pod: "pod-1-1",
  node: "node-1",
  addresses: ["127.0.0.1", "::1"],
  ports: { http: [0], tcp: [0], udp: [0] },
};

for (const protocol of ["tcp", "udp", "http"] as const) {
  test(`a ${protocol} echo says who answers and whom it saw`, async () => {
    const listeners = await openEchoListeners(identity);
    try {
      const port = onlyPort(listeners, protocol);
      const result = await attempt({ protocol, address: "127.0.0.1", port });
      assert(result.kind === "reply");
      assert.deepEqual(result.echo, {
        pod: "pod-1-1",
        node: "node-1",
        client: "127.0.0.1",
        clientPort: result.localPort,
        local: `127.0.0.1:${port}`,
      });
      assert.equal(result.status, protocol === "http" ? 200 : undefined);
    } finally {
      listeners.close();
    }
  });

  test(`${protocol} to a port where nobody listens is refused`, async () => {
    const listeners = await openEchoListeners(identity);
    const port = onlyPort(listeners, protocol);
    listeners.close();
    const result = await attempt({ protocol, address: "127.0.0.1", port });
    assert.deepEqual(result, { kind: "refused" });
  });
}

test("a source address and port are used as asked", async () => {
  const listeners = await openEchoListeners(identity);
  const free = createSocket("udp4").bind(0, "127.0.0.2");
  await once(free, "listening");
  const sourcePort = free.address().port;
  free.close();
  try {
    for (const protocol of ["tcp", "udp", "http"] as const) {
      const port = onlyPort(listeners, protocol);
      const source = { sourceAddress: "127.0.0.2", sourcePort };
      const result = await attempt({ protocol, address: "127.0.0.1", port, ...source });
      assert(result.kind === "reply", JSON.stringify(result));
      assert.equal(result.echo?.client, "127.0.0.2");
      assert.equal(result.echo?.clientPort, sourcePort);
    }
  } finally {
    listeners.close();
  }
});

test("silence after the handshake is a timeout in the answer phase", async () => {
  await withServer(
    () => {},
    async (port) => {
      for (const protocol of ["tcp", "http"] as const) {
        const result = await attempt({ protocol, address: "127.0.0.1", port, timeoutMs: 20 });
        assert.deepEqual(result, { kind: "timeout", phase: "answer" });
      }
    },
  );
});

test("a reset and a silent close after the handshake are told apart", async () => {
  const reset = (socket: Socket): void => void socket.once("data", () => socket.resetAndDestroy());
  const close = (socket: Socket): void => void socket.end();
  await withServer(reset, async (port) => {
    const result = await attempt({ protocol: "http", address: "127.0.0.1", port });
    assert.deepEqual(result, { kind: "reset", phase: "answer" });
  });
  await withServer(close, async (port) => {
    for (const protocol of ["tcp", "http"] as const) {
      const result = await attempt({ protocol, address: "127.0.0.1", port });
      assert.deepEqual(result, { kind: "closed" });
    }
  });
});

test("a source address that is not here is our failure, not the network's", async () => {
  for (const protocol of ["tcp", "udp", "http"] as const) {
    const source = { sourceAddress: "203.0.113.1" };
    const result = await attempt({ protocol, address: "127.0.0.1", port: 9, ...source });
    assert.deepEqual(result, { kind: "failed", code: "EADDRNOTAVAIL" });
  }
});

test("a port that is taken fails the whole server and closes what was open", async () => {
  const first = await openEchoListeners(identity);
  const taken = onlyPort(first, "tcp");
  const ports = { http: [0], tcp: [taken], udp: [0] };
  await assert.rejects(openEchoListeners({ ...identity, ports }), { code: "EADDRINUSE" });
  first.close();
  const second = await openEchoListeners({ ...identity, ports });
  second.close();
});

function onlyPort(listeners: EchoListeners, protocol: "tcp" | "udp" | "http"): number {
  const [port] = listeners.ports[protocol];
  assert(port !== undefined && port > 0);
  return port;
}

async function withServer(
  onConnection: (socket: Socket) => void,
  body: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    onConnection(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  try {
    await body(address.port);
  } finally {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}
