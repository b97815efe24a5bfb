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
  const { addresses, ports } = identity;
  const sockets = new Set<Socket>();
  const http = ports.http.map((port) => ({ port, server: track(httpEcho(identity), sockets) }));
  const tcp = ports.tcp.map((port) => ({ port, server: track(tcpEcho(identity), sockets) }));
  const udp = ports.udp.map((port) =>
    addresses.map((address) => ({ port, address, server: udpEcho(identity, address) })),
  );
  const servers = [...http, ...tcp, ...udp.flat()].map(({ server }) => server);
  // Asked for before anything listens: with the look-up below, a UDP socket does so at once.
  const listening = Promise.all(servers.map((server) => once(server, "listening")));
  for (const { server, port } of [...http, ...tcp]) server.listen(port);
  for (const { server, port, address } of udp.flat()) server.bind(port, address);
  const close = (): void => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  };
  try {
    await listening;
  } catch (error) {
    close();
    throw error;
  }
  return {
    ports: {
      http: http.map(({ server }) => portOf(server)),
      tcp: tcp.map(({ server }) => portOf(server)),
      udp: udp.flatMap(([first]) => (first === undefined ? [] : first.server.address().port)),
    },
    close,
  };
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
function udpEcho(identity: EchoIdentity, address: Address): UdpSocket {
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
