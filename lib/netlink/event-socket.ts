// A netlink socket that hands over what arrives, over the `netlink` package: its libuv watcher
// enters JavaScript only when the kernel has something to say. For notifications and short dumps;
// a dump that must be read at the reader's own pace needs a socket one can leave alone.

import { RawNetlinkSocket } from "netlink/dist/raw.js";

const receiveBytes = 32 * 1024; // the largest message the kernel makes of a dump
const socketBufferBytes = 1024 * 1024;

export interface EventSocketOptions {
  /** 0 is NETLINK_ROUTE, 12 NETLINK_NETFILTER. */
  readonly protocol: number;
  /** Bit n−1 joins multicast group n; 0 for none. */
  readonly groups: number;
  readonly onMessage: (bytes: Uint8Array) => void;
  /** ENOBUFS means that messages were lost and the socket lives on; others end it. */
  readonly onError: (code: string, error: unknown) => void;
}

export interface EventSocket {
  /** A failure to send reaches `onError`. */
  send(bytes: Uint8Array): void;
  close(): void;
}

/** @throws ErrnoException of the package when the kernel gives no socket */
export function openEventSocket(options: EventSocketOptions): EventSocket {
  const socket = new RawNetlinkSocket(options.protocol, {
    localGroups: options.groups,
    messagePeeking: false,
    msgBufferSize: receiveBytes,
    recvBufferSize: socketBufferBytes,
    sendBufferSize: receiveBytes,
  });
  socket.on("message", options.onMessage);
  socket.on("truncatedMessage", () => options.onError("EMSGSIZE", undefined));
  socket.on("error", (error) => options.onError(error.code, error));
  return {
    send: (bytes) => socket.send(Buffer.from(bytes)),
    close: () => socket.close(),
  };
}
