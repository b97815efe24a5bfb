// Program: one peer of a connection that the L4 lane carries, for what echo servers and probes do
// not do. `serve` listens in a pod's place; `hello` calls as a TLS client would; `dawdle` reads
// late.

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { sampleHello } from "../../lib/tls/sample-hello.ts";

/** How `serve` treats who calls. */
const SERVERS: Readonly<Record<string, (socket: Socket) => void>> = {
  /** Answers what it got first, in hexadecimal, as one line. */
  hex: (socket) =>
    void socket.once("data", (bytes: Buffer) => socket.write(`${bytes.toString("hex")}\n`)),
  /** Accepts, and breaks off at the first byte. */
  reset: (socket) => void socket.once("data", () => socket.resetAndDestroy()),
};

if (import.meta.main) {
  const [verb, ...words] = process.argv.slice(2);
  if (verb === "serve") await serve(words);
  else if (verb === "hello") await hello(words);
  else if (verb === "dawdle") await dawdle(words);
}

async function serve([port = "", kind = ""]: readonly string[]): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    SERVERS[kind]?.(socket);
  });
  server.listen(Number(port), "::");
  await once(server, "listening");
  process.stdout.write("listening\n");
}

/** Prints the first line that comes back, or the errno name; `-` names no server. */
async function hello([address = "", port = "", name = ""]: readonly string[]): Promise<void> {
  const socket = connect({ host: address, port: Number(port) });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    process.stdout.write(`${error.code}\n`);
  });
  socket.write(sampleHello(name === "-" ? {} : { name, recordBytes: 50 }));
  for await (const line of createInterface({ input: socket })) {
    process.stdout.write(`${line}\n`);
    break;
  }
  socket.destroy();
}

/** Sends so many bytes to an echo server and reads nothing for a while; prints how many came. */
async function dawdle([address = "", port = "", bytes, pauseMs]: readonly string[]): Promise<void> {
  const socket = connect({ host: address, port: Number(port) });
  socket.end(Buffer.alloc(Number(bytes), "echo"));
  await delay(Number(pauseMs));
  let received = 0;
  for await (const chunk of socket) received += (chunk as Buffer).length;
  process.stdout.write(`${received}\n`);
}
