// A UDPRoute in the kernel lane: the endpoints of several Services as one endpoint set, in which an
// endpoint stands as often as its share asks for. Pure.

import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { ServicePort } from "../../lib/kube/api/service.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { UsableTargets } from "./usable-endpoints.ts";

/** One backend of a UDPRoute. */
export interface UdpShare {
  /** Above 0; it counts relative to the others. */
  readonly weight: number;
  /** The backend's own port. */
  readonly port: ServicePort;
  /** All slices of the backend. */
  readonly slices: ReadonlyMap<string, EndpointSlice>;
}

/** The same, for each policy the endpoints that this node may use. */
export interface UsableShare {
  readonly weight: number;
  readonly usable: UsableTargets;
}

/** A set has so many positions at most, or so many for each endpoint where that is more. */
const MAXIMUM_POSITIONS = 256;
const POSITIONS_PER_ENDPOINT = 8;
/** How far a share of all flows may be from its weight. */
const TOLERANCE = 0.01;

/**
 * Makes one of several: each endpoint is repeated, all of one share equally often, and no oftener
 * than it takes to keep every share within one point of its weight. Where the limit on positions
 * does not allow that, the nearest that it allows.
 * A share without a usable endpoint is left out and the others divide what it had: the kernel
 * refuses whole sets only. So a policy Local divides among the shares with endpoints on this node.
 */
export function weighShares(shares: readonly UsableShare[]): UsableTargets {
  const pick = (policy: "cluster" | "local"): readonly Endpoint[] =>
    repeat(shares.map(({ weight, usable }) => ({ weight, endpoints: usable[policy] })));
  return {
    cluster: pick("cluster"),
    local: pick("local"),
    anywhere: shares.some(({ usable }) => usable.anywhere),
  };
}

interface Share {
  readonly weight: number;
  readonly endpoints: readonly Endpoint[];
}

function repeat(all: readonly Share[]): readonly Endpoint[] {
  const shares = all.filter(({ weight, endpoints }) => weight > 0 && endpoints.length > 0);
  const times = repetitions(shares);
  return shares.flatMap(({ endpoints }, i) =>
    endpoints.flatMap((endpoint) => Array<Endpoint>(times[i] ?? 1).fill(endpoint)),
  );
}

/** How often the endpoints of each share stand in the set. */
function repetitions(shares: readonly Share[]): readonly number[] {
  const endpoints = sum(shares.map((share) => share.endpoints.length));
  const weight = sum(shares.map((share) => share.weight));
  const most = Math.max(MAXIMUM_POSITIONS, POSITIONS_PER_ENDPOINT * endpoints);
  let best = { times: shares.map(() => 1), error: Number.POSITIVE_INFINITY };
  for (let wanted = shares.length; wanted <= most && best.error > TOLERANCE; wanted++) {
    const times = shares.map((share) =>
      Math.max(1, Math.round((wanted * share.weight) / weight / share.endpoints.length)),
    );
    const positions = shares.map((share, i) => share.endpoints.length * (times[i] ?? 1));
    const total = sum(positions);
    if (total > most) continue;
    const errors = shares.map((share, i) =>
      Math.abs((positions[i] ?? 0) / total - share.weight / weight),
    );
    const error = Math.max(...errors);
    if (error < best.error) best = { times, error };
  }
  return best.times;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
