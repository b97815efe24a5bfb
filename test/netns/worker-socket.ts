// Sockets as a proxy's worker has them, by means of Node: they take connections to any address, and
// connect from any.

import { once } from "node:events";
import net from "node:net";
import { encodeSocketAddress } from "../../lib/reactor/socket-address.ts";
import { PROXY_SOCKET_MARK } from "../../lib/reactor/transparent-socket.ts";
import {
  bind,
  SO_MARK,
  SO_REUSEADDR,
  SOL_SOCKET,
  setSocketOption,
  streamSocket,
} from "../../lib/sys/ffi.ts";
import type { EchoReply } from "../../playground/echo-protocol.ts";

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
/** Of the proxy's own range. */
const FIRST_PORT = 10_240;

export async function listenAsWorker(
  host: string,
  port: number,
  onConnection: (socket: net.Socket) => void,
): Promise<void> {
  const bound = new net.BoundSocket({ host, port, reusePort: true });
  markTransparent(bound.fd(), net.isIPv6(host));
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    onConnection(socket);
  });
  server.listen(bound);
  await once(server, "listening");
}

/** Says whom the client is taken for and where it called, and echoes all else. */
export function greet(socket: net.Socket, as: Pick<EchoReply, "pod" | "node">): void {
  const { localAddress: address = "", localPort, remoteAddress, remotePort = 0 } = socket;
  const reply: EchoReply = {
    ...as,
    client: remoteAddress ?? "",
    clientPort: remotePort,
    local: net.isIPv6(address) ? `[${address}]:${localPort}` : `${address}:${localPort}`,
  };
  socket.write(`${JSON.stringify(reply)}\n`);
  socket.pipe(socket);
}

/** Connects from the client's address. */
export function dialAsWorker(client: string, to: string, port: number): net.Socket {
  const isIPv6 = net.isIPv6(to);
  const fd = streamSocket(isIPv6 ? 10 : 2);
  markTransparent(fd, isIPv6);
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(fd, encodeSocketAddress(client, FIRST_PORT + Math.floor(Math.random() * 10_000)));
  const socket = new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  return socket.connect(port, to);
}

function markTransparent(fd: number, isIPv6: boolean): void {
  const level = isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  setSocketOption(fd, level, isIPv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
  setSocketOption(fd, SOL_SOCKET, SO_MARK, PROXY_SOCKET_MARK);
}
