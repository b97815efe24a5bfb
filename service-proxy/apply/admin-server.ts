// The node's UNIX socket for the CLI: lines in, lines out, root only.

import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import type { AdminAnswer } from "../model/admin-protocol.ts";
import { type AdminParts, handleAdmin } from "./admin-handler.ts";

const MOST_CLIENTS = 16;
const MOST_LINE_BYTES = 16_384;
/** A client that reads so slowly loses answers: the node does not queue for it. */
const MOST_WAITING_BYTES = 16 << 20;

/**
 * Serves until `signal` aborts. Takes the place of a socket that a dead process left.
 * @throws an error of the file system or of `listen` when there can be no socket at `path`
 */
export async function serveAdmin(
  path: string,
  parts: AdminParts,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    clients.add(socket);
    socket.once("close", () => clients.delete(socket));
    serveClient(socket, parts);
  });
  server.maxConnections = MOST_CLIENTS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      try {
        // Others could not connect before either: that takes the right to write.
        chmodSync(path, 0o600);
        resolve();
      } catch (error) {
        // Another agent took the path at this very moment.
        server.close();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
  await new Promise<void>((resolve) => {
    const close = (): void => {
      for (const socket of clients) socket.destroy();
      server.close(() => resolve());
    };
    signal.addEventListener("abort", close, { once: true });
  });
}

function serveClient(socket: Socket, parts: AdminParts): void {
  const gone = new AbortController();
  const send = (answer: AdminAnswer): void => {
    if (socket.writableLength <= MOST_WAITING_BYTES) socket.write(`${JSON.stringify(answer)}\n`);
  };
  socket.once("close", () => gone.abort());
  socket.on("error", () => socket.destroy());
  let waiting = "";
  // One line after the other: answers do not mix.
  let last = Promise.resolve();
  socket.setEncoding("utf8").on("data", (text: string) => {
    const lines = (waiting + text).split("\n");
    waiting = lines.pop() ?? "";
    if (waiting.length > MOST_LINE_BYTES) return socket.destroy();
    for (const line of lines) {
      last = last
        .then(() => handleAdmin(line, parts, send, gone.signal))
        .catch((error: unknown) => send({ kind: "error", message: String(error) }));
    }
  });
}
