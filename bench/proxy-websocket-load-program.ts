// A WebSocket client, run inside a pod's network namespace: each connection sends a frame, waits
// for its echo, and sends the next. Arguments: address, port, connections, seconds. Prints a Load.

import assert from "node:assert/strict";
import { connect } from "node:net";
import type { Load } from "./proxy-load.ts";
import { acceptOf, CLIENT_FRAME, SERVER_FRAME } from "./proxy-websocket-frames.ts";
import { percentile } from "./statistics.ts";

const [address = "", port = "", connections = "", seconds = ""] = process.argv.slice(2);
const KEY = Buffer.alloc(16, "bench").toString("base64");
const latenciesUs: number[] = [];
const startMs = performance.now();
const endMs = startMs + 1_000 * Number(seconds);

await Promise.all(Array.from({ length: Number(connections) }, echo));
const load: Load = {
  completed: latenciesUs.length,
  failed: 0,
  bytes: latenciesUs.length * SERVER_FRAME.length,
  seconds: (performance.now() - startMs) / 1_000,
  p50Us: percentile(latenciesUs, 0.5),
  p99Us: percentile(latenciesUs, 0.99),
  p999Us: percentile(latenciesUs, 0.999),
};
process.stdout.write(`${JSON.stringify(load)}\n`);

async function echo(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host: address, port: Number(port), noDelay: true });
  socket.on("error", reject).on("close", () => reject(new Error("the echo has gone")));
  let answer: string | undefined = "";
  let missingBytes = 0;
  let sentMs = 0;
  const send = (): void => {
    sentMs = performance.now();
    if (sentMs > endMs) {
      resolve();
      socket.destroy();
      return;
    }
    missingBytes = SERVER_FRAME.length;
    socket.write(CLIENT_FRAME);
  };
  socket.on("data", (bytes) => {
    if (answer !== undefined) {
      answer += bytes.toString("latin1");
      if (!answer.endsWith("\r\n\r\n")) return;
      assert(answer.startsWith("HTTP/1.1 101 ") && answer.includes(acceptOf(KEY)), answer);
      answer = undefined;
      send();
      return;
    }
    missingBytes -= bytes.length;
    if (missingBytes > 0) return;
    latenciesUs.push(1_000 * (performance.now() - sentMs));
    send();
  });
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${address}:${port}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  await promise;
}
