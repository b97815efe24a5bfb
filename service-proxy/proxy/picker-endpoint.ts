// What a worker remembers about one endpoint of a group: load, latency, failures. It outlives plans
// that still name the endpoint, and a plan without it until the last request is finished.

import type { ProxyEndpoint } from "../model/proxy-plan.ts";
import { OutlierRecord } from "./outlier-ejection.ts";
import { PeakEwma } from "./peak-ewma.ts";

/** How a request, or a relayed connection, ended. */
export type Outcome =
  | "ok"
  /** A 5xx, a gRPC status that means the same, or a connection that broke. */
  | "error"
  | "connect-failed"
  | "timeout"
  /** The client gave up: says nothing about the endpoint but that it was not faster. */
  | "cancelled";

/** A new endpoint, and one that returns, gets its full share only after so long. */
const SLOW_START_MS = 10_000;
const LEAST_WEIGHT = 0.1;
/** An endpoint that refuses at once must not look fast. */
const FAILURE_LATENCY_MS = 1_000;

/** Its group's say when it has failed too often: true when it was ejected. */
export type Judge = (state: EndpointState, nowMs: number) => boolean;

/** `address:port`, what an endpoint is recognised by from plan to plan. */
export function endpointKey({ address, port }: ProxyEndpoint): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

export class EndpointState {
  /** `address:port`; IPv6 in brackets. */
  readonly key: string;
  readonly outliers = new OutlierRecord();
  readonly #latency: PeakEwma;
  readonly #judge: Judge;
  #endpoint: ProxyEndpoint;
  #inFlight = 0;
  #sinceMs: number;
  #planned = true;

  /**
   * @param sinceMs when it came into service; long ago for one that needs no slow start
   * @param latencyMs what to expect until something is measured
   */
  constructor(
    endpoint: ProxyEndpoint,
    judge: Judge,
    {
      nowMs,
      sinceMs,
      latencyMs,
    }: { readonly nowMs: number; readonly sinceMs: number; readonly latencyMs: number },
  ) {
    this.key = endpointKey(endpoint);
    this.#endpoint = endpoint;
    this.#judge = judge;
    this.#sinceMs = sinceMs;
    this.#latency = new PeakEwma(latencyMs, nowMs);
  }

  get endpoint(): ProxyEndpoint {
    return this.#endpoint;
  }

  /** Requests, or connections of the L4 lane, that are started and not finished. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** False once a plan came without it. */
  get planned(): boolean {
    return this.#planned;
  }

  get sinceMs(): number {
    return this.#sinceMs;
  }

  started(): void {
    this.#inFlight++;
  }

  /**
   * The head of a good response came, or the connection of the L4 lane stands: what takes long from
   * here on is no latency. Its finish has none then.
   */
  answered(nowMs: number, latencyMs: number): void {
    this.#latency.observe(latencyMs, nowMs);
    this.outliers.succeeded();
  }

  /**
   * Each start is finished once.
   * @param latencyMs to the head of the response, or until it failed; NaN after `answered`
   * @returns true when this outcome ejected the endpoint
   */
  finished(nowMs: number, outcome: Outcome, latencyMs: number): boolean {
    this.#inFlight = Math.max(0, this.#inFlight - 1);
    switch (outcome) {
      case "ok":
        if (!Number.isNaN(latencyMs)) this.answered(nowMs, latencyMs);
        return false;
      case "cancelled":
        this.#observeAtLeast(this.#latency.readMs(nowMs), latencyMs, nowMs);
        return false;
      case "error":
        // An error page is quick to make: it may not lower the estimate.
        this.#observeAtLeast(this.#latency.readMs(nowMs), latencyMs, nowMs);
        break;
      case "connect-failed":
      case "timeout":
        this.#observeAtLeast(FAILURE_LATENCY_MS, latencyMs, nowMs);
        break;
      default:
        return outcome satisfies never;
    }
    return this.outliers.failed() && this.#planned && this.#judge(this, nowMs);
  }

  #observeAtLeast(leastMs: number, latencyMs: number, nowMs: number): void {
    // Also takes the least when the latency is NaN.
    this.#latency.observe(latencyMs > leastMs ? latencyMs : leastMs, nowMs);
  }

  latencyMs(nowMs: number): number {
    return this.#latency.readMs(nowMs);
  }

  /**
   * What a request would wait here: each one under way costs another latency (as Finagle's P2C on
   * peak EWMA has it). Nothing where nothing was ever measured: one request goes and measures.
   */
  expectedWaitMs(nowMs: number): number {
    if (this.#inFlight === 0 && !this.#latency.measured) return 0;
    return this.#latency.readMs(nowMs) * (this.#inFlight + 1);
  }

  /** Above 0, at most 1: its share while it starts slowly. */
  weight(nowMs: number): number {
    const ageMs = nowMs - this.#sinceMs;
    return ageMs >= SLOW_START_MS ? 1 : Math.max(LEAST_WEIGHT, ageMs / SLOW_START_MS);
  }

  /** Back from ejection: it starts slowly again. */
  restore(nowMs: number): void {
    this.outliers.restore();
    this.#sinceMs = nowMs;
  }

  /** A plan names it, maybe with other facts than before. */
  join(endpoint: ProxyEndpoint): void {
    this.#endpoint = endpoint;
    this.#planned = true;
  }

  /** A plan came without it: nothing new is sent, what is under way goes on. */
  leave(): void {
    this.#planned = false;
  }
}
