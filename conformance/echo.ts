// The echo: listens over TCP, UDP and HTTP, and tells every caller which pod it reached, where
// that runs, and whom it saw.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";

import { type Address, familyOf } from "../lib/ip/address.ts";
import type { Agent } from "./agent-identity.ts";
import type { EchoReply } from "./probe-protocol.ts";

/** Listening sockets of one agent. Disposing of them closes connections too, at once. */
export interface Echoes extends Disposable {}

/**
 * Opens all echoes of an agent: TCP and HTTP on every address, UDP on the agent's own.
 * @throws Error from node:net or node:dgram when a port is taken; the others are closed again
 */
export async function openEchoes(agent: Agent): Promise<Echoes> {
  const sockets = new Set<Socket>();
  const { http, tcp, udp } = agent.ports;
  const servers: readonly (Server | UdpSocket)[] = [
    ...http.map((port) => track(httpEcho(agent), sockets).listen(port)),
    ...tcp.map((port) => track(tcpEcho(agent), sockets).listen(port)),
    // A datagram that arrives at a wildcard socket is answered from whatever address routing
    // prefers, which need not be the one that was asked.
    ...udp.flatMap((port) => agent.addresses.map((address) => udpEcho(agent, address, port))),
  ];
  const close = (): void => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  };
  try {
    await Promise.all(servers.map((server) => once(server, "listening")));
  } catch (error) {
    close();
    throw error;
  }
  return { [Symbol.dispose]: close };
}

/** GET of any path answers; the body is one line. */
function httpEcho(agent: Agent): Server {
  return createHttpServer(({ socket }, response) => {
    response.setHeader("content-type", "application/json");
    response.end(`${echoLine(agent, socket)}\n`);
  });
}

/** One line on connect, then every byte comes back. */
function tcpEcho(agent: Agent): Server {
  return createTcpServer((socket) => {
    socket.on("error", () => {}); // How callers hang up is their business.
    socket.write(`${echoLine(agent, socket)}\n`);
    socket.pipe(socket);
  });
}

/** Every datagram is answered. */
function udpEcho(agent: Agent, address: Address, port: number): UdpSocket {
  const socket = createSocket(familyOf(address) === "ip" ? "udp4" : "udp6");
  socket.on("message", (_, { address: client, port: clientPort }) => {
    const reply: EchoReply = { pod: agent.name, node: agent.node, client, port };
    socket.send(JSON.stringify(reply), clientPort, client, () => {});
  });
  return socket.bind(port, address);
}

function echoLine({ name, node }: Agent, { remoteAddress = "", localPort = 0 }: Socket): string {
  // Dual-stack sockets show IPv4 peers as mapped IPv6.
  const client = remoteAddress.replace(/^::ffff:/, "");
  const reply: EchoReply = { pod: name, node, client, port: localPort };
  return JSON.stringify(reply);
}

function track<S extends Server>(server: S, sockets: Set<Socket>): S {
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return server;
}
