// Program: stands in for a proxy worker. Transparent listeners on the lanes' two ports that say
// whom they saw and where, or relay to a backend from the client's own address.

import { once } from "node:events";
import net from "node:net";
import { addressBytes } from "../../lib/ip/address.ts";
import { bind, setSocketOption, streamSocket } from "../../lib/sys/ffi.ts";
import type { EchoReply } from "../../playground/echo-protocol.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import { DEFAULT_LANE, SOCKET_MARK } from "../../service-proxy/plan/lane-marks.ts";

/** Calls that this program takes on standard input. */
export interface ListenerCalls {
  readonly listen: { readonly request: object; readonly reply: null };
  /** What arrives at `address` is relayed from now on; nobody else is. */
  readonly relay: {
    readonly request: { readonly address: string; readonly to: string; readonly port: number };
    readonly reply: null;
  };
}

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_MARK = 36;
const FIRST_PORT = 10_240;

if (import.meta.main) {
  const relays = new Map<string, { readonly to: string; readonly port: number }>();
  answerCalls<ListenerCalls>({
    async listen() {
      for (const host of ["127.0.0.1", "::1"]) {
        for (const side of ["inside", "outside"] as const) await listen(host, side, relays);
      }
      return null;
    },
    relay({ address, to, port }) {
      relays.set(address, { to, port });
      return null;
    },
  });
}

async function listen(
  host: string,
  side: "inside" | "outside",
  relays: ReadonlyMap<string, { readonly to: string; readonly port: number }>,
): Promise<void> {
  const port = side === "inside" ? DEFAULT_LANE.portInside : DEFAULT_LANE.portOutside;
  const bound = new net.BoundSocket({ host, port, reusePort: true });
  makeTransparent(bound.fd(), net.isIPv6(host));
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const { localAddress: address = "", localPort, remoteAddress, remotePort = 0 } = socket;
    socket.on("error", () => socket.destroy());
    const relay = relays.get(address);
    if (relay !== undefined) {
      const upstream = dial(remoteAddress ?? "", relay.to, relay.port);
      upstream.on("error", () => socket.resetAndDestroy());
      socket.on("close", () => upstream.destroy());
      socket.pipe(upstream).pipe(socket);
      return;
    }
    const reply: EchoReply = {
      pod: "lane",
      node: side,
      client: remoteAddress ?? "",
      clientPort: remotePort,
      local: net.isIPv6(address) ? `[${address}]:${localPort}` : `${address}:${localPort}`,
    };
    socket.write(`${JSON.stringify(reply)}\n`);
    socket.pipe(socket);
  });
  server.listen(bound);
  await once(server, "listening");
}

/** Connects from the client's address and a port of the proxy's own range. */
function dial(client: string, to: string, port: number): net.Socket {
  const isIPv6 = net.isIPv6(to);
  const fd = streamSocket(isIPv6 ? 10 : 2);
  makeTransparent(fd, isIPv6);
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(fd, socketAddress(client, FIRST_PORT + Math.floor(Math.random() * 10_000)));
  const socket = new net.Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  return socket.connect(port, to);
}

function makeTransparent(fd: number, isIPv6: boolean): void {
  const level = isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  setSocketOption(fd, level, isIPv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
  setSocketOption(fd, SOL_SOCKET, SO_MARK, SOCKET_MARK);
}

/** A `sockaddr_in` or `sockaddr_in6`. */
function socketAddress(address: string, port: number): Uint8Array {
  const bytes = addressBytes(address);
  const result = new Uint8Array(bytes.length === 4 ? 16 : 28);
  result.set([bytes.length === 4 ? 2 : 10, 0, port >> 8, port & 255]);
  result.set(bytes, bytes.length === 4 ? 4 : 8);
  return result;
}
