// Ports that servers under test can keep across a restart.

import { createServer } from "node:net";

/** Below the kernel's own range for outgoing connections (32768 on) and below NodePorts (30000). */
const FIRST_PORT = 20_000;
const PORT_COUNT = 9_000;

/**
 * Finds a TCP port that nobody listens on at `address`. Outgoing connections never take it, so a
 * server that restarts finds it free again.
 */
export async function findFreePort(address: string): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);
    if (await isFree(address, port)) return port;
  }
}

async function isFree(address: string, port: number): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE") resolve(false);
    else reject(error);
  });
  server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)));
  return promise;
}
