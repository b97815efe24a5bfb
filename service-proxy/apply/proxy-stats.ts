// What all workers counted, dead ones included: their differences are added up here, so no counter
// ever goes back. Two views: by endpoint for `top`, and by route for Prometheus.

import {
  EDGE_COLUMNS,
  type EdgeDelta,
  type EdgeLayer,
  type EdgeNames,
  type EdgeSum,
  OTHER,
  type Result,
  type TelemetryMessage,
} from "../model/edge.ts";
import { BUCKET_COUNT } from "../model/latency-buckets.ts";

/** One edge's sums over all workers since this process began. */
export interface EdgeTotals extends EdgeNames {
  readonly layer: EdgeLayer;
  /** In the order of EDGE_COLUMNS. */
  readonly counts: Float64Array;
  /** By latency bucket. */
  readonly latencies: Float64Array;
  /** By worker. */
  readonly inFlight: Map<number, number>;
  changedMs: number;
}

export interface EjectedEndpoint {
  readonly service: string;
  readonly endpoint: string;
}

/** An edge to one endpoint; what `top` shows. */
const MOST_EDGES = 8_192;
/** An edge to one route: some 35 lines on /metrics each, so some 4 MiB at most. */
const MOST_ROUTES = 1_024;
/** When there is no room, edges without traffic for so long make some. */
const IDLE_MS = 600_000;

/** The sums; one to a control process. */
export class ProxyStats {
  readonly #edges: Ledger;
  readonly #routes: Ledger;
  readonly #ejected = new Map<number, readonly EjectedEndpoint[]>();
  #accessLogLost = 0;

  constructor({ mostEdges = MOST_EDGES, mostRoutes = MOST_ROUTES } = {}) {
    this.#edges = new Ledger(mostEdges);
    this.#routes = new Ledger(mostRoutes);
  }

  /** Adds one worker's message. Amounts that make no sense in it count for nothing. */
  add(worker: number, message: TelemetryMessage, nowMs: number): void {
    for (const delta of message.edges) {
      this.#edges.add(worker, delta, nowMs);
      this.#routes.add(worker, { ...delta, endpoint: "" }, nowMs);
    }
    const ejected = message.ejected.slice(0, MOST_EDGES);
    this.#ejected.set(
      worker,
      ejected.map(([service, endpoint]) => ({ service, endpoint })),
    );
    this.#accessLogLost += amountOf(message.accessLogLost);
  }

  /** A worker is gone: nothing is under way there, and what it counted stays counted. */
  removeWorker(worker: number): void {
    this.#edges.removeWorker(worker);
    this.#routes.removeWorker(worker);
    this.#ejected.delete(worker);
  }

  /** By endpoint. */
  edges(): readonly EdgeTotals[] {
    return this.#edges.all();
  }

  /** By route: every `endpoint` is empty. */
  routes(): readonly EdgeTotals[] {
    return this.#routes.all();
  }

  /** Out of service for at least one worker; each once. */
  ejected(): readonly EjectedEndpoint[] {
    const all = [...this.#ejected.values()].flat();
    return [...new Map(all.map((one) => [`${one.service} ${one.endpoint}`, one])).values()];
  }

  accessLogLost(): number {
    return this.#accessLogLost;
  }
}

/** How many ended so; a row of EDGE_COLUMNS. */
export function countOf({ counts }: EdgeTotals, column: Result | EdgeSum): number {
  return counts[EDGE_COLUMNS.indexOf(column)] ?? 0;
}

/** Requests, or connections, under way on all workers. */
export function inFlightOf({ inFlight }: EdgeTotals): number {
  let sum = 0;
  for (const count of inFlight.values()) sum += count;
  return sum;
}

/** Edges by name, never more than the limit. */
class Ledger {
  readonly #limit: number;
  readonly #byKey = new Map<string, EdgeTotals>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  all(): readonly EdgeTotals[] {
    return [...this.#byKey.values()];
  }

  add(worker: number, delta: EdgeDelta, nowMs: number): void {
    const totals = this.#totalsOf(delta, nowMs);
    totals.changedMs = nowMs;
    addPairs(totals.counts, delta.counts);
    addPairs(totals.latencies, delta.latencies);
    if (!Number.isSafeInteger(delta.inFlight)) return;
    const inFlight = (totals.inFlight.get(worker) ?? 0) + delta.inFlight;
    if (inFlight === 0) totals.inFlight.delete(worker);
    else totals.inFlight.set(worker, inFlight);
  }

  removeWorker(worker: number): void {
    for (const { inFlight } of this.#byKey.values()) inFlight.delete(worker);
  }

  #totalsOf({ layer, source, service, route, endpoint }: EdgeDelta, nowMs: number): EdgeTotals {
    const known = this.#byKey.get(keyOf(layer, source, service, route, endpoint));
    if (known !== undefined) return known;
    if (this.#byKey.size >= this.#limit) this.#dropIdle(nowMs);
    const room = this.#byKey.size < this.#limit;
    const names = room
      ? { source, service, route, endpoint }
      : { source: OTHER, service: OTHER, route: OTHER, endpoint: OTHER };
    return room ? this.#make(layer, names) : (this.#other(layer) ?? this.#make(layer, names));
  }

  #other(layer: EdgeLayer): EdgeTotals | undefined {
    return this.#byKey.get(keyOf(layer, OTHER, OTHER, OTHER, OTHER));
  }

  #make(layer: EdgeLayer, names: EdgeNames): EdgeTotals {
    const totals: EdgeTotals = {
      layer,
      ...names,
      counts: new Float64Array(EDGE_COLUMNS.length),
      latencies: new Float64Array(BUCKET_COUNT),
      inFlight: new Map(),
      changedMs: 0,
    };
    const { source, service, route, endpoint } = names;
    this.#byKey.set(keyOf(layer, source, service, route, endpoint), totals);
    return totals;
  }

  #dropIdle(nowMs: number): void {
    for (const [key, { changedMs, inFlight, source }] of this.#byKey) {
      const idle = nowMs - changedMs >= IDLE_MS && inFlight.size === 0;
      if (idle && source !== OTHER) this.#byKey.delete(key);
    }
  }
}

/** No name holds a line break. */
function keyOf(...names: readonly string[]): string {
  return names.join("\n");
}

function addPairs(cells: Float64Array, pairs: readonly number[]): void {
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const index = pairs[i] ?? -1;
    const cell = cells[index];
    if (cell !== undefined) cells[index] = cell + amountOf(pairs[i + 1]);
  }
}

/** Counters only grow. */
function amountOf(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) && value > 0 ? value : 0;
}
