// What the workers of a node counted of tunnels, summed.

import type { TunnelTelemetryMessage } from "../tunnel/tunnel-telemetry.ts";

type Side = "client" | "server";
type Counts = Map<string, number>;

/** By `side result`, and by side. */
export class TunnelStats {
  readonly handshakes: Counts = new Map();
  readonly connections: Counts = new Map();
  readonly bytes: Readonly<Record<"receivedBytes" | "sentBytes", Counts>> = {
    receivedBytes: new Map(),
    sentBytes: new Map(),
  };
  /** What is open, by worker. */
  readonly #open = new Map<number, TunnelTelemetryMessage["sides"]>();

  add(worker: number, { handshakes, connections, sides }: TunnelTelemetryMessage): void {
    for (const [side, result, times] of handshakes)
      count(this.handshakes, `${side} ${result}`, times);
    for (const [side, result, times] of connections) {
      count(this.connections, `${side} ${result}`, times);
    }
    for (const side of ["client", "server"] as const) {
      count(this.bytes.receivedBytes, side, sides[side].receivedBytes);
      count(this.bytes.sentBytes, side, sides[side].sentBytes);
    }
    this.#open.set(worker, sides);
  }

  /** A worker ended, and with it all it had open. */
  forget(worker: number): void {
    this.#open.delete(worker);
  }

  open(side: Side, what: "sessions" | "streams"): number {
    return this.#open.values().reduce((sum, sides) => sum + sides[side][what], 0);
  }
}

function count(counts: Counts, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
