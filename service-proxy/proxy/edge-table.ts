// Where a worker counts: one slot an edge, in typed arrays, so that counting a request allocates
// nothing. Slots are bounded, and given to others when their edge was idle for long.

import {
  EDGE_COLUMNS,
  EDGE_SUMS,
  type EdgeDelta,
  type EdgeLayer,
  type EdgeNames,
  type EdgeSum,
  OTHER,
  RESULTS,
  type Result,
} from "../model/edge.ts";
import { BUCKET_COUNT, bucketOf } from "../model/latency-buckets.ts";

const COLUMNS = EDGE_COLUMNS.length;
const RESULT_COLUMN = new Map<Result, number>(RESULTS.map((result, i) => [result, i]));
const sumColumn = (sum: EdgeSum): number => RESULTS.length + EDGE_SUMS.indexOf(sum);
const RETRIES = sumColumn("retries");
const EJECTIONS = sumColumn("ejections");
const RECEIVED_BYTES = sumColumn("receivedBytes");
const SENT_BYTES = sumColumn("sentBytes");
const LATENCY_MS = sumColumn("latencyMs");
const TUNNELLED = sumColumn("tunnelled");
const IN_NODE = sumColumn("inNode");

/** Some 2 MiB when all are in use. */
const MOST_SLOTS = 4_096;
const FIRST_SLOTS = 64;
/** An edge without traffic for so long gives up its slot. */
const IDLE_MS = 600_000;
/** The slot of all edges beyond the limit. */
const OTHER_SLOT = 0;

type Tree = Map<string, Map<string, Map<string, Map<string, number>>>>;

export class EdgeTable {
  readonly #layer: EdgeLayer;
  readonly #mostSlots: number;
  /** Slots by source, service, route, endpoint: joining the four would make a string a request. */
  readonly #slots: Tree = new Map();
  readonly #names: (EdgeNames | undefined)[] = [];
  readonly #free: number[] = [];
  #counts = new Float64Array(FIRST_SLOTS * COLUMNS);
  #latencies = new Uint32Array(FIRST_SLOTS * BUCKET_COUNT);
  #inFlight = new Int32Array(FIRST_SLOTS);
  /** What the last drain knew of what is under way. */
  #toldInFlight = new Int32Array(FIRST_SLOTS);
  #changed = new Uint8Array(FIRST_SLOTS);
  #changedMs = new Float64Array(FIRST_SLOTS);

  constructor(layer: EdgeLayer, mostSlots = MOST_SLOTS) {
    this.#layer = layer;
    this.#mostSlots = mostSlots;
    this.#names.push({ source: OTHER, service: OTHER, route: OTHER, endpoint: OTHER });
  }

  /**
   * The slot of an edge. Valid while something it `started` is not finished, and until the next
   * `drain` else: do not keep it longer.
   * @param nowMs of a monotonic clock; the same one that `drain` gets
   */
  slot(source: string, service: string, route: string, endpoint: string, nowMs: number): number {
    const known = this.#slots.get(source)?.get(service)?.get(route)?.get(endpoint);
    return known ?? this.#newSlot({ source, service, route, endpoint }, nowMs);
  }

  started(slot: number): void {
    this.#inFlight[slot] = (this.#inFlight[slot] ?? 0) + 1;
    this.#changed[slot] = 1;
  }

  /** @param latencyMs NaN where there was none to measure */
  finished(slot: number, result: Result, latencyMs: number): void {
    this.#inFlight[slot] = (this.#inFlight[slot] ?? 0) - 1;
    this.#add(slot, RESULT_COLUMN.get(result) ?? 0, 1);
    if (!(latencyMs >= 0)) return;
    const at = slot * BUCKET_COUNT + bucketOf(latencyMs);
    this.#latencies[at] = (this.#latencies[at] ?? 0) + 1;
    this.#add(slot, LATENCY_MS, latencyMs);
  }

  /** Received from the client, and sent to it. */
  transferred(slot: number, receivedBytes: number, sentBytes: number): void {
    this.#add(slot, RECEIVED_BYTES, receivedBytes);
    this.#add(slot, SENT_BYTES, sentBytes);
  }

  /** @param carrier what proves who is at both ends; undefined: nothing */
  proven(slot: number, carrier: "tunnel" | "node" | undefined): void {
    if (carrier !== undefined) this.#add(slot, carrier === "tunnel" ? TUNNELLED : IN_NODE, 1);
  }

  retried(slot: number): void {
    this.#add(slot, RETRIES, 1);
  }

  ejected(slot: number): void {
    this.#add(slot, EJECTIONS, 1);
  }

  /** What happened since the last call; also frees the slots of idle edges. */
  drain(nowMs: number): EdgeDelta[] {
    const deltas: EdgeDelta[] = [];
    this.#names.forEach((names, slot) => {
      if (names === undefined) return;
      if (this.#changed[slot] === 1) {
        deltas.push(this.#take(slot, names));
        this.#changedMs[slot] = nowMs;
      } else if (this.#isIdle(slot, nowMs)) {
        this.#release(slot, names);
      }
    });
    return deltas;
  }

  #add(slot: number, column: number, amount: number): void {
    const at = slot * COLUMNS + column;
    this.#counts[at] = (this.#counts[at] ?? 0) + amount;
    this.#changed[slot] = 1;
  }

  #newSlot(names: EdgeNames, nowMs: number): number {
    const slot = this.#free.pop() ?? this.#names.length;
    if (slot >= this.#mostSlots) return OTHER_SLOT;
    if (slot >= this.#inFlight.length) this.#grow();
    this.#names[slot] = names;
    this.#changedMs[slot] = nowMs;
    const services = child(this.#slots, names.source);
    child(child(services, names.service), names.route).set(names.endpoint, slot);
    return slot;
  }

  #grow(): void {
    const slots = this.#inFlight.length * 2;
    this.#counts = copied(new Float64Array(slots * COLUMNS), this.#counts);
    this.#latencies = copied(new Uint32Array(slots * BUCKET_COUNT), this.#latencies);
    this.#inFlight = copied(new Int32Array(slots), this.#inFlight);
    this.#toldInFlight = copied(new Int32Array(slots), this.#toldInFlight);
    this.#changed = copied(new Uint8Array(slots), this.#changed);
    this.#changedMs = copied(new Float64Array(slots), this.#changedMs);
  }

  #take(slot: number, names: EdgeNames): EdgeDelta {
    const counts = takePairs(this.#counts.subarray(slot * COLUMNS, (slot + 1) * COLUMNS));
    const [first, end] = [slot * BUCKET_COUNT, (slot + 1) * BUCKET_COUNT];
    const latencies = takePairs(this.#latencies.subarray(first, end));
    this.#changed[slot] = 0;
    const inFlight = (this.#inFlight[slot] ?? 0) - (this.#toldInFlight[slot] ?? 0);
    this.#toldInFlight[slot] = this.#inFlight[slot] ?? 0;
    return { layer: this.#layer, ...names, inFlight, counts, latencies };
  }

  #isIdle(slot: number, nowMs: number): boolean {
    if (slot === OTHER_SLOT || this.#inFlight[slot] !== 0) return false;
    return nowMs - (this.#changedMs[slot] ?? 0) >= IDLE_MS;
  }

  #release(slot: number, { source, service, route, endpoint }: EdgeNames): void {
    const services = this.#slots.get(source);
    const routes = services?.get(service);
    const endpoints = routes?.get(route);
    endpoints?.delete(endpoint);
    if (endpoints?.size === 0) routes?.delete(route);
    if (routes?.size === 0) services?.delete(service);
    if (services?.size === 0) this.#slots.delete(source);
    this.#names[slot] = undefined;
    this.#free.push(slot);
  }
}

function child<V>(parent: Map<string, Map<string, V>>, name: string): Map<string, V> {
  const known = parent.get(name);
  if (known !== undefined) return known;
  const made = new Map<string, V>();
  parent.set(name, made);
  return made;
}

function copied<T extends { set(from: T): void }>(to: T, from: T): T {
  to.set(from);
  return to;
}

/** Index and amount of all that is not zero, which is zero then. */
function takePairs(cells: Float64Array | Uint32Array): number[] {
  const pairs: number[] = [];
  for (let i = 0; i < cells.length; i++) {
    const amount = cells[i] ?? 0;
    if (amount === 0) continue;
    pairs.push(i, amount);
    cells[i] = 0;
  }
  return pairs;
}
