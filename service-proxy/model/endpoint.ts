// Endpoints of one Service port in one address family, merged from all slices that carry them.

import type { EndpointSlice, SliceEndpoint } from "../../lib/kube/api/endpoint-slice.ts";
import type { IpFamily, Protocol } from "../../lib/kube/api/service.ts";

/** One backend. Its identity is address and port: two slices may list it in different states. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** True when its nodeName is this node; an endpoint without nodeName is remote. */
  readonly local: boolean;
  readonly zone?: string;
  readonly hintedZones?: readonly string[];
  readonly hintedNodes?: readonly string[];
}

/** Which endpoints to gather: ports are matched by name and protocol, never by number. */
export interface EndpointQuery {
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: IpFamily;
  readonly nodeName: string;
}

/**
 * Gathers the endpoints of one Service port.
 * When an address and port stand in several slices (a pod address reused, a move between slices),
 * an entry that is not terminating wins over one that is.
 * @param slices all slices of the Service, any order
 * @returns sorted by address, then port; never throws
 */
export function gatherEndpoints(
  slices: Iterable<EndpointSlice>,
  query: EndpointQuery,
): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== query.family) continue;
    for (const port of slice.ports) {
      if (port.name !== query.portName || port.protocol !== query.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const key = `${endpoint.address} ${port.port}`;
        const earlier = found.get(key);
        if (earlier !== undefined && !(earlier.terminating && !endpoint.terminating)) continue;
        found.set(key, makeEndpoint(endpoint, port.port, query.nodeName));
      }
    }
  }
  return [...found.values()].sort((a, b) =>
    a.address === b.address ? a.port - b.port : a.address < b.address ? -1 : 1,
  );
}

function makeEndpoint(endpoint: SliceEndpoint, port: number, nodeName: string): Endpoint {
  const { address, ready, serving, terminating, zone, hintedZones, hintedNodes } = endpoint;
  const local = endpoint.nodeName !== undefined && endpoint.nodeName === nodeName;
  return {
    address,
    port,
    ready,
    serving,
    terminating,
    local,
    ...(zone === undefined ? {} : { zone }),
    ...(hintedZones === undefined ? {} : { hintedZones }),
    ...(hintedNodes === undefined ? {} : { hintedNodes }),
  };
}
