// The endpoints of one Service port in one family: its Service's own, or those that a UDPRoute has
// in their place. Pure.

import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { IpFamily, ServicePort } from "../../lib/kube/api/service.ts";
import { type Endpoint, gatherEndpoints } from "../model/endpoint.ts";
import { type UdpShare, weighShares } from "./udp-shares.ts";
import {
  type Place,
  type UsableEndpoints,
  type UsableTargets,
  usableEndpoints,
} from "./usable-endpoints.ts";

export interface PortEndpoints {
  readonly endpoints: readonly Endpoint[];
  /** With shares an endpoint stands in it as often as its share asks for. */
  readonly usable: UsableTargets;
  /** What there would be without routes; workers know of routes themselves. */
  readonly own: UsableEndpoints;
}

/** @param shares of a UDPRoute that has the port; an empty list leads nowhere */
export function portEndpoints(
  own: Pick<UdpShare, "port" | "slices">,
  shares: readonly UdpShare[] | undefined,
  node: { readonly family: IpFamily; readonly place: Place },
): PortEndpoints {
  const found = gather(own.port, own.slices, node);
  if (shares === undefined) return { ...found, own: found.usable };
  const all = shares.map(({ weight, port, slices }) => ({ weight, ...gather(port, slices, node) }));
  const endpoints = all.flatMap((share) => share.endpoints);
  return { endpoints, usable: weighShares(all), own: found.usable };
}

function gather(
  port: ServicePort,
  slices: ReadonlyMap<string, EndpointSlice>,
  { family, place }: { readonly family: IpFamily; readonly place: Place },
): { readonly endpoints: readonly Endpoint[]; readonly usable: UsableEndpoints } {
  const endpoints = gatherEndpoints(slices.values(), {
    portName: port.name,
    protocol: port.protocol,
    family,
    nodeName: place.nodeName,
  });
  return { endpoints, usable: usableEndpoints(endpoints, place) };
}
