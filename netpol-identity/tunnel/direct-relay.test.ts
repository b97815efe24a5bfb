import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { listenOnLoopback } from "../../lib/reactor/sample-loopback.ts";
import { DirectRelays } from "./direct-relay.ts";
import { DB_POD, OTHER_WEB_POD, SampleTunnel, WEB_POD } from "./sample-tunnel.ts";

test("a pod has so many connections to others at a time, and other pods have theirs", async () => {
  using tunnel = new SampleTunnel();
  const port = await tunnel.app((socket) => socket.pipe(socket));
  const relays = new DirectRelays(tunnel.client.parts, tunnel.dialer, 2);
  let from = WEB_POD;
  const door = listenOnLoopback(tunnel.reactor, (fd) => {
    const remote = { address: from, port: 40_000 };
    relays.accept(fd, { local: { address: DB_POD, port }, remote });
  });
  const open: Socket[] = [];
  const isServed = (): Promise<boolean> => {
    const socket = connect(door.port, "127.0.0.1").on("error", () => {});
    open.push(socket);
    socket.write("x");
    return new Promise((resolve) => {
      socket.once("data", () => resolve(true)).once("close", () => resolve(false));
    });
  };
  assert.deepEqual([await isServed(), await isServed(), await isServed()], [true, true, false]);
  from = OTHER_WEB_POD;
  assert.ok(await isServed());
  from = WEB_POD;
  open[0]?.destroy();
  // Its end has to be seen first.
  while (!(await isServed())) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const socket of open) socket.destroy();
  relays.close();
  assert.ok(relays.isIdle);
  door.close();
});
