// A WebSocket backend that sends every frame back, run inside a pod's network namespace.

import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { BACKEND_PORTS } from "./proxy-backends.ts";
import { acceptOf, CLIENT_FRAME, SERVER_FRAME } from "./proxy-websocket-frames.ts";

const server = createServer((_, response) => {
  response.end();
});
server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
  socket.on("error", () => socket.destroy());
  const accept = acceptOf(request.headers["sec-websocket-key"] ?? "");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let pendingBytes = 0;
  const receive = (bytes: Buffer): void => {
    pendingBytes += bytes.length;
    for (; pendingBytes >= CLIENT_FRAME.length; pendingBytes -= CLIENT_FRAME.length) {
      socket.write(SERVER_FRAME);
    }
  };
  receive(head);
  socket.on("data", receive);
});
server.listen(BACKEND_PORTS.websocket, "0.0.0.0");
