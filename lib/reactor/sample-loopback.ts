// A listener and a dialler on 127.0.0.1 that need no privilege, for tests of what uses connections.

import assert from "node:assert/strict";
import { AF_INET, streamSocket, tryBind, tryListen } from "../sys/ffi.ts";
import type { Reactor } from "./reactor.ts";
import { encodeSocketAddress } from "./socket-address.ts";
import { acceptFrom, type Listener, type OnConnection } from "./tcp-listener.ts";
import { TcpStream } from "./tcp-stream.ts";
import type { Dialer } from "./transparent-socket.ts";

/** Listens on a free port. */
export function listenOnLoopback(reactor: Reactor, onConnection: OnConnection): Listener {
  const fd = streamSocket(AF_INET);
  assert.equal(tryBind(fd, encodeSocketAddress("127.0.0.1", 0)), 0);
  assert.equal(tryListen(fd, 64), 0);
  return acceptFrom(reactor, fd, onConnection);
}

/**
 * Dials from wherever the kernel chooses, unmarked.
 * @param refused ports that are refused, with the rule; may grow
 */
export function loopbackDialer(
  reactor: Reactor,
  refused: ReadonlyMap<number, string> = new Map(),
): Dialer {
  return {
    dial({ to }, owner) {
      const encoded = encodeSocketAddress(to.address, to.port);
      return TcpStream.connecting(reactor, streamSocket(AF_INET), { remote: to, encoded }, owner);
    },
    isPersonal: () => false,
    refusal: ({ to }) => refused.get(to.port),
    get revision() {
      return refused.size;
    },
  };
}
