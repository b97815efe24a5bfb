// Program: an HTTP backend that the PROXY protocol tells who calls, and that tells its callers:
// `proxy-header-backend.ts PORT http1|http2`.

import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Socket } from "node:net";

/** What every request is answered, as JSON. */
export interface ToldByHeader {
  /** Counts the backend's connections from 1. */
  readonly connection: number;
  /** The connection's first bytes, hexadecimal. */
  readonly header: string;
}

const HEAD_BYTES = 16;
const LENGTH_AT = 14;

if (import.meta.main) {
  const [, , port, protocol] = process.argv;
  await serve(Number(port), protocol === "http2");
}

async function serve(port: number, isHttp2: boolean): Promise<void> {
  const told = new Map<string, ToldByHeader>();
  const answer = (request: { readonly socket: Socket }): string =>
    JSON.stringify(told.get(peerOf(request.socket)) ?? "nothing was told");
  const http: RequestListener = (request, response) => void response.end(answer(request));
  const inner = isHttp2
    ? createHttp2Server((request, response) => void response.end(answer(request)))
    : createHttpServer(http);
  let connections = 0;
  const server = createServer((socket) => {
    const connection = ++connections;
    socket.on("error", () => {});
    takeHeader(socket, (header) => {
      told.set(peerOf(socket), { connection, header });
      inner.emit("connection", socket);
      // HTTP/2 reads by itself what it was given.
      if (!isHttp2) socket.resume();
    });
  });
  server.listen(port, "::");
  await once(server, "listening");
  process.stdout.write("listening\n");
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** What follows the header is left to be read. */
function takeHeader(socket: Socket, then: (header: string) => void): void {
  let seen = Buffer.alloc(0);
  const onData = (bytes: Buffer): void => {
    seen = Buffer.concat([seen, bytes]);
    if (seen.length < HEAD_BYTES) return;
    const length = HEAD_BYTES + seen.readUInt16BE(LENGTH_AT);
    if (seen.length < length) return;
    socket.off("data", onData).pause();
    socket.unshift(seen.subarray(length));
    then(seen.subarray(0, length).toString("hex"));
  };
  socket.on("data", onData);
}
