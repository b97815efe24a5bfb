// Opens connections from many addresses to many, each of which answers one HTTP request; says how
// long that took, and holds them until its standard input ends. Argument: a ConnectionsPlan.

import { connect } from "node:net";
import type { Connections, ConnectionsPlan } from "./tunnel-connections.ts";
import { percentile } from "./statistics.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
const plan = JSON.parse(process.argv[2] ?? "") as ConnectionsPlan;
const { sources, targets, count, atOnce } = plan;
const latenciesUs: number[] = [];
let next = 0;

const startMs = performance.now();
await Promise.all(Array.from({ length: atOnce }, openAll));
const result: Connections = {
  seconds: (performance.now() - startMs) / 1_000,
  p50Us: percentile(latenciesUs, 0.5),
  p99Us: percentile(latenciesUs, 0.99),
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.stdin.on("end", () => process.exit()).resume();

async function openAll(): Promise<void> {
  while (next < count) await open(next++);
}

/** Every pair is met once before any is met again. */
function open(index: number): Promise<void> {
  const target = targets[Math.floor(index / sources.length) % targets.length];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const sentMs = performance.now();
  const socket = connect({
    host: target?.address ?? "",
    port: target?.port ?? 0,
    localAddress: sources[index % sources.length] ?? "",
    noDelay: true,
  });
  socket.on("error", reject).on("close", () => reject(new Error("a connection was closed")));
  socket.once("data", () => {
    latenciesUs.push(1_000 * (performance.now() - sentMs));
    resolve();
  });
  socket.write(REQUEST);
  return promise;
}
