// Accepts connections from a socket that listens, in turns; waits where the process has no room for
// more, since a full backlog would be told again and again.

import { tryAccept, tryGetSocketName } from "../sys/ffi.ts";
import { READABLE, type Reactor } from "./reactor.ts";
import { decodeSocketAddress, SOCKET_ADDRESS_BYTES } from "./socket-address.ts";
import type { StreamEnds } from "./tcp-stream.ts";

export interface Listener {
  readonly port: number;
  close(): void;
}

/** @param ends `local` is the address that the client dialled */
export type OnConnection = (fd: number, ends: StreamEnds) => void;

/** So many at once, then others get a turn. */
const ACCEPT_BATCH = 64;
/** ENFILE, EMFILE, ENOBUFS, ENOMEM: connections wait in the backlog meanwhile. */
const NO_ROOM: readonly number[] = [-23, -24, -105, -12];
const NO_ROOM_PAUSE_MS = 100;

/** Takes over a listening socket. */
export function acceptFrom(reactor: Reactor, fd: number, onConnection: OnConnection): Listener {
  const remote = new Uint8Array(SOCKET_ADDRESS_BYTES);
  const local = new Uint8Array(SOCKET_ADDRESS_BYTES);
  let pause: NodeJS.Timeout | undefined;
  const onReady = (): void => {
    for (let i = 0; i < ACCEPT_BATCH; i++) {
      const accepted = tryAccept(fd, remote);
      if (NO_ROOM.includes(accepted)) {
        reactor.modify(fd, 0);
        pause = setTimeout(() => reactor.modify(fd, READABLE), NO_ROOM_PAUSE_MS);
      }
      if (accepted < 0) return;
      tryGetSocketName(accepted, local);
      onConnection(accepted, {
        local: decodeSocketAddress(local),
        remote: decodeSocketAddress(remote),
      });
    }
  };
  tryGetSocketName(fd, local);
  const { port } = decodeSocketAddress(local);
  reactor.add(fd, READABLE, { onReady });
  const close = (): void => {
    clearTimeout(pause);
    reactor.close(fd);
  };
  return { port, close };
}
