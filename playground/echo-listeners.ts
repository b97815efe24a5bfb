// The listeners of one echo server. Sockets are made before the first `await`, so that a caller
// can switch its thread's network namespace around the call and have them bound in there.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";

import { type Address, familyOf } from "../lib/ip/address.ts";
import type { EchoIdentity, EchoPorts, EchoReply } from "./echo-protocol.ts";

/** Listening sockets of one pod. */
export interface EchoListeners {
  /** The ports in the order asked for, each 0 replaced by the port that was picked. */
  readonly ports: EchoPorts;
  /** Closes listeners and connections at once. */
  close(): void;
}

/**
 * Opens all listeners of one echo server. TCP and HTTP listen on every address of both families.
 * @throws Error from node:net or node:dgram when a port is taken; the others are closed again
 */
export async function openEchoListeners(identity: EchoIdentity): Promise<EchoListeners> {
  const sockets = new Set<Socket>();
  const http = identity.ports.http.map((port) => track(httpEcho(identity), sockets).listen(port));
  const tcp = identity.ports.tcp.map((port) => track(tcpEcho(identity), sockets).listen(port));
  const udp = identity.ports.udp.flatMap((port) =>
    identity.addresses.map((address) => udpEcho(identity, address, port)),
  );
  const close = (): void => {
    for (const server of [...http, ...tcp, ...udp]) server.close();
    for (const socket of sockets) socket.destroy();
  };
  try {
    await Promise.all([...http, ...tcp, ...udp].map((server) => once(server, "listening")));
  } catch (error) {
    close();
    throw error;
  }
  const perPort = identity.addresses.length;
  const ports = {
    http: http.map(portOf),
    tcp: tcp.map(portOf),
    udp: udp.filter((_, index) => index % perPort === 0).map((socket) => socket.address().port),
  };
  return { ports, close };
}

function httpEcho(identity: EchoIdentity): HttpServer {
  return createHttpServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(`${JSON.stringify(replyTo(identity, request.socket))}\n`);
  });
}

function tcpEcho(identity: EchoIdentity): Server {
  return createTcpServer((socket) => {
    socket.on("error", () => {}); // The caller's way to hang up is the caller's business.
    socket.write(`${JSON.stringify(replyTo(identity, socket))}\n`);
    socket.pipe(socket);
  });
}

/** Bound to one address: a wildcard socket could not tell where a datagram arrived. */
function udpEcho(identity: EchoIdentity, address: Address, port: number): UdpSocket {
  const socket = createSocket({
    type: familyOf(address) === "ip" ? "udp4" : "udp6",
    // The usual look-up answers later, and the socket would be made in another namespace.
    lookup: (name, options, callback) => callback(null, name, Number(options)),
  });
  socket.on("message", (_, { address: client, port: clientPort }) => {
    const local = `${bracketed(address)}:${socket.address().port}`;
    const reply = { pod: identity.pod, node: identity.node, client, clientPort, local };
    socket.send(JSON.stringify(reply), clientPort, client, () => {});
  });
  socket.bind(port, address);
  return socket;
}

function replyTo(identity: EchoIdentity, socket: Socket): EchoReply {
  const local = `${bracketed(unmapped(socket.localAddress))}:${socket.localPort}`;
  return {
    pod: identity.pod,
    node: identity.node,
    client: unmapped(socket.remoteAddress),
    clientPort: socket.remotePort ?? 0,
    local,
  };
}

/** Dual-stack sockets show IPv4 peers as mapped IPv6. Empty when the peer is gone already. */
function unmapped(address = ""): Address {
  return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}

function bracketed(address: Address): string {
  return familyOf(address) === "ip6" ? `[${address}]` : address;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function track<S extends Server>(server: S, sockets: Set<Socket>): S {
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return server;
}
