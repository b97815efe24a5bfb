// The endpoints of one group as a worker sees them, and the choice among them. A new plan changes
// who is in; what is known about those who stay is kept.

import type { Balancing, ProxyEndpoint, ProxyGroup } from "../model/proxy-plan.ts";
import { AffinityTable } from "./affinity-table.ts";
import { isPanic, mayEject } from "./outlier-ejection.ts";
import { EndpointState, endpointKey } from "./picker-endpoint.ts";
import { hashText } from "./picker-hash.ts";
import { type LoadPicker, makeLoadPicker } from "./picker-load.ts";
import { type HashOwner, makeMaglevTable } from "./picker-maglev.ts";
import { makeHashRing } from "./picker-ring.ts";

export interface PickRequest {
  readonly clientAddress: string;
  /** 32 bits: what consistent hashing goes by; the client's address when there is none. */
  readonly hash?: number | undefined;
  /** Where this request failed before: taken again only when there is nothing else. */
  readonly avoid?: readonly EndpointState[] | undefined;
  /** Others are never taken; missing: all may be. */
  readonly permits?: ((endpoint: ProxyEndpoint) => boolean) | undefined;
}

/** With so many under way in its own zone, on one worker, a request may leave the zone. */
const SPILL_IN_FLIGHT = 100;
/** What an endpoint is expected to take before anything was measured. */
const FIRST_LATENCY_MS = 10;
const LONG_AGO_MS = Number.NEGATIVE_INFINITY;

export class EndpointGroup {
  #algorithm: Balancing["algorithm"] | undefined;
  #zone: string | undefined;
  #pickByLoad: LoadPicker = makeLoadPicker("peak-ewma");
  #affinity: AffinityTable<EndpointState> | undefined;
  /** In the order of the plan. */
  #members: readonly EndpointState[] = [];
  /** Out of the plan with requests under way: their record is there when they come back. */
  readonly #leaving = new Map<string, EndpointState>();
  /** Members in service; all of them in a panic. */
  #usable: readonly EndpointState[] = [];
  /** Those in this worker's zone; undefined when the zone makes no difference. */
  #near: readonly EndpointState[] | undefined;
  #panic = false;
  /** When the first ejected one returns. */
  #returnMs = Number.POSITIVE_INFINITY;
  /** Made when first asked for after a change of members. */
  #owner: HashOwner<EndpointState> | undefined;

  /**
   * Takes a new plan of this group.
   * @param zone prefer endpoints of this zone while they have room; undefined for no preference
   */
  update(group: ProxyGroup, nowMs: number, zone?: string): void {
    const { algorithm, affinitySeconds } = group.balancing;
    if (algorithm !== this.#algorithm) this.#pickByLoad = makeLoadPicker(algorithm);
    this.#algorithm = algorithm;
    this.#zone = zone;
    this.#setAffinity(affinitySeconds);
    this.#members = this.#join(group, nowMs);
    this.#owner = undefined;
    this.#refresh(nowMs);
  }

  /**
   * Chooses an endpoint: the client's own (affinity), else by the group's algorithm. Does not count
   * it as started. Undefined only when the plan has no endpoint, or none that is permitted.
   * @param random in [0, 1)
   */
  pick(request: PickRequest, nowMs: number, random: () => number): EndpointState | undefined {
    if (nowMs >= this.#returnMs) this.#refresh(nowMs);
    if (this.#affinity === undefined) return this.#choose(request, nowMs, random);
    const pinned = this.#affinity.find(request.clientAddress, nowMs);
    const kept = pinned !== undefined && this.#accepts(pinned, request) ? pinned : undefined;
    const state = kept ?? this.#choose(request, nowMs, random);
    if (state !== undefined) this.#affinity.use(request.clientAddress, state, nowMs);
    return state;
  }

  /** The endpoint of the name, while the plan has it and it is in service. */
  find(key: string): EndpointState | undefined {
    return this.#usable.find((state) => state.key === key);
  }

  /** Those out of service for failing, for display. */
  ejected(nowMs: number): readonly EndpointState[] {
    if (nowMs >= this.#returnMs) this.#refresh(nowMs);
    return this.#members.filter(isEjected);
  }

  /** Requests and connections under way, endpoints that have left the plan included. */
  inFlight(): number {
    let sum = 0;
    for (const state of this.#members) sum += state.inFlight;
    for (const state of this.#leaving.values()) sum += state.inFlight;
    return sum;
  }

  #choose(request: PickRequest, nowMs: number, random: () => number): EndpointState | undefined {
    if (this.#algorithm === "ring-hash" || this.#algorithm === "maglev") {
      const hash = request.hash ?? hashText(request.clientAddress);
      const owner = this.#hashOwner();
      const accepted = owner(hash, (state) => this.#accepts(state, request));
      if (accepted !== undefined) return accepted;
    }
    const state = this.#chooseByLoad(this.#near, this.#usable, nowMs, random);
    const { avoid, permits } = request;
    const isFit = state === undefined || avoid?.includes(state) !== true;
    if (isFit && (state === undefined || permits?.(state.endpoint) !== false)) return state;
    return this.#chooseOther(request, nowMs, random);
  }

  /** Rare enough, after a failure or a refusal, to look at everybody. */
  #chooseOther(
    { avoid, permits }: PickRequest,
    nowMs: number,
    random: () => number,
  ): EndpointState | undefined {
    const permitted =
      permits === undefined
        ? this.#members
        : this.#members.filter(({ endpoint }) => permits(endpoint));
    const usable = permitted.filter((state) => this.#panic || !isEjected(state));
    const fresh = usable.filter((state) => avoid?.includes(state) !== true);
    const candidates = [fresh, usable].find(({ length }) => length > 0) ?? permitted;
    const near = this.#near && candidates.filter(({ endpoint }) => endpoint.zone === this.#zone);
    return this.#chooseByLoad(near, candidates, nowMs, random);
  }

  #chooseByLoad(
    near: readonly EndpointState[] | undefined,
    usable: readonly EndpointState[],
    nowMs: number,
    random: () => number,
  ): EndpointState | undefined {
    if (near === undefined || near.length === 0) return this.#pickByLoad(usable, nowMs, random);
    const local = this.#pickByLoad(near, nowMs, random);
    if (local === undefined || local.inFlight < SPILL_IN_FLIGHT) return local;
    const any = this.#pickByLoad(usable, nowMs, random);
    return any !== undefined && any.inFlight < local.inFlight ? any : local;
  }

  #accepts(state: EndpointState, { avoid, permits }: PickRequest): boolean {
    if (!state.planned || (!this.#panic && isEjected(state))) return false;
    if (permits?.(state.endpoint) === false) return false;
    return avoid === undefined || !avoid.includes(state);
  }

  #hashOwner(): HashOwner<EndpointState> {
    const make = this.#algorithm === "maglev" ? makeMaglevTable : makeHashRing;
    this.#owner ??= make(this.#members);
    return this.#owner;
  }

  #setAffinity(seconds: number | undefined): void {
    const timeoutMs = seconds === undefined ? undefined : seconds * 1_000;
    if (timeoutMs === this.#affinity?.timeoutMs) return;
    this.#affinity = timeoutMs === undefined ? undefined : new AffinityTable(timeoutMs);
  }

  #join({ endpoints }: ProxyGroup, nowMs: number): readonly EndpointState[] {
    const before = new Map(this.#members.map((state) => [state.key, state]));
    const fresh = {
      nowMs,
      // Slow start is for those who join others: at first all are equally new.
      sinceMs: before.size === 0 ? LONG_AGO_MS : nowMs,
      latencyMs: this.#meanLatencyMs(nowMs),
    };
    const after = new Map<string, EndpointState>();
    for (const endpoint of endpoints) {
      const key = endpointKey(endpoint);
      const known = before.get(key) ?? this.#leaving.get(key);
      const state = known ?? new EndpointState(endpoint, this.#judge, fresh);
      state.join(endpoint);
      after.set(key, state);
      this.#leaving.delete(key);
    }
    for (const [key, state] of before) {
      if (after.has(key)) continue;
      state.leave();
      this.#leaving.set(key, state);
    }
    for (const [key, { inFlight }] of this.#leaving) {
      if (inFlight === 0) this.#leaving.delete(key);
    }
    return [...after.values()];
  }

  #meanLatencyMs(nowMs: number): number {
    const { length } = this.#members;
    if (length === 0) return FIRST_LATENCY_MS;
    return this.#members.reduce((sum, state) => sum + state.latencyMs(nowMs), 0) / length;
  }

  readonly #judge = (state: EndpointState, nowMs: number): boolean => {
    if (!mayEject(this.#members.filter(isEjected).length, this.#members.length)) return false;
    state.outliers.eject(nowMs, state.sinceMs);
    this.#refresh(nowMs);
    return true;
  };

  /** Brings back those whose time is over, and says anew who is usable. */
  #refresh(nowMs: number): void {
    this.#returnMs = Number.POSITIVE_INFINITY;
    let ejected = 0;
    for (const state of this.#members) {
      const untilMs = state.outliers.ejectedUntilMs;
      if (untilMs === 0) continue;
      if (untilMs <= nowMs) {
        state.restore(nowMs);
        continue;
      }
      ejected++;
      this.#returnMs = Math.min(this.#returnMs, untilMs);
    }
    this.#panic = isPanic(ejected, this.#members.length);
    this.#usable = this.#panic ? this.#members : this.#members.filter((state) => !isEjected(state));
    this.#near = this.#nearOnes();
  }

  /** The zone is preferred while at least half of its endpoints are in service. */
  #nearOnes(): readonly EndpointState[] | undefined {
    if (this.#zone === undefined || this.#panic) return undefined;
    const inZone = this.#members.filter(({ endpoint }) => endpoint.zone === this.#zone);
    const near = inZone.filter((state) => !isEjected(state));
    return isPanic(inZone.length - near.length, inZone.length) ? undefined : near;
  }
}

function isEjected(state: EndpointState): boolean {
  return state.outliers.ejectedUntilMs > 0;
}
