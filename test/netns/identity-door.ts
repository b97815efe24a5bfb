// Program: stands in for a worker that takes tunnels and direct calls. Transparent listeners on
// both doors that say whom they saw and where; and it dials as workers do.

import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { encodeSocketAddress } from "../../lib/reactor/socket-address.ts";
import { bind, setSocketOption, streamSocket } from "../../lib/sys/ffi.ts";
import type { EchoReply } from "../../playground/echo-protocol.ts";
import { answerCalls } from "../../playground/line-calls.ts";
import {
  DEFAULT_POLICY_PORTS,
  SOCKET_MARK,
} from "../../netpol-identity/plan/policy-table-parts.ts";

/** Calls that this program takes on standard input. */
export interface DoorCalls {
  readonly listen: { readonly request: object; readonly reply: null };
  /** Connects as a worker does, from a client's address. Replies with the first line that comes. */
  readonly dial: {
    readonly request: { readonly from: string; readonly to: string; readonly port: number };
    readonly reply: string;
  };
}

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const FIRST_PORT = 10_240;
const DIAL_LIMIT_MS = 3_000;

if (import.meta.main) {
  answerCalls<DoorCalls>({
    async listen() {
      for (const host of ["127.0.0.1", "::1"]) {
        for (const door of ["tunnel", "direct"] as const) await listen(host, door);
      }
      return null;
    },
    dial,
  });
}

async function listen(host: string, door: "tunnel" | "direct"): Promise<void> {
  const bound = new net.BoundSocket({ host, port: DEFAULT_POLICY_PORTS[door], reusePort: true });
  makeTransparent(bound.fd(), net.isIPv6(host));
  const server = net.createServer((socket) => {
    const { localAddress: address = "", localPort, remoteAddress, remotePort = 0 } = socket;
    socket.on("error", () => socket.destroy());
    const reply: EchoReply = {
      pod: door,
      node: "door",
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

async function dial({ from, to, port }: DoorCalls["dial"]["request"]): Promise<string> {
  const isIPv6 = net.isIPv6(to);
  const fd = streamSocket(isIPv6 ? 10 : 2);
  makeTransparent(fd, isIPv6);
  bind(fd, encodeSocketAddress(from, FIRST_PORT + Math.floor(Math.random() * 10_000)));
  const socket = new net.Socket({ fd, readable: true, writable: true });
  socket.connect(port, to).setTimeout(DIAL_LIMIT_MS, () => socket.destroy(new Error("no answer")));
  try {
    for await (const line of createInterface({ input: socket })) return line;
    return "";
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}

function makeTransparent(fd: number, isIPv6: boolean): void {
  const level = isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP;
  setSocketOption(fd, level, isIPv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
  setSocketOption(fd, SOL_SOCKET, SO_MARK, SOCKET_MARK);
}
