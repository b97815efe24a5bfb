// Who a connection comes from, as far as its packets prove it: by which door it came in, and which
// pod of this node has its address.

import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type { DialOptions, DialQuestion } from "../../lib/reactor/transparent-socket.ts";
import { type Failure, SOURCES } from "../model/edge.ts";
import type { FrontendSide, ProxyFrontend, ProxyGroup } from "../model/proxy-plan.ts";
import type { ProxyTables } from "./proxy-tables.ts";
import type { StreamParts } from "./relay-parts.ts";

export interface Client {
  readonly address: string;
  readonly port: number;
  readonly kind: "pod" | "host" | "outside";
  /** Of the pod; undefined for others, and for a pod that is not known yet. */
  readonly namespace?: string;
  /** What counts and logs call it: a namespace, or one of SOURCES. */
  readonly source: string;
}

/** @param isInside it came through the door for local pods, which the kernel decides */
export function clientOf(tables: ProxyTables, from: SocketAddress, isInside: boolean): Client {
  const { address, port } = from;
  if (tables.isHost(address)) return { address, port, kind: "host", source: SOURCES.host };
  if (!isInside) return { address, port, kind: "outside", source: SOURCES.outside };
  const namespace = tables.client(address)?.namespace;
  if (namespace === undefined) return { address, port, kind: "pod", source: SOURCES.unknown };
  return { address, port, kind: "pod", namespace, source: namespace };
}

/** Which side of a frontend serves this client. */
export function sideFor(frontend: ProxyFrontend, client: Client): FrontendSide {
  return client.kind === "outside" ? frontend.outside : frontend.inside;
}

/**
 * The address that upstream connections come from; undefined for the node's own.
 * The client's is used only where replies come back through this node: the client is a pod here,
 * or the endpoint is. An endpoint that calls itself would talk to itself.
 */
export function sourceAddress(
  client: Client,
  side: FrontendSide,
  endpoint: { readonly address: string; readonly local: boolean },
): string | undefined {
  if (side.source === "node" || client.kind === "host") return undefined;
  if (client.address === endpoint.address) return undefined;
  const returns = side.source === "client-always" || client.kind === "pod" || endpoint.local;
  return returns ? client.address : undefined;
}

/**
 * What an upstream connection says of the client: who it is, the address it comes from, and the pod
 * of this node whose identity it may show.
 */
export function dialOptions(
  client: Pick<Client, "address" | "kind">,
  { to, from }: { readonly to: SocketAddress; readonly from: string | undefined },
): DialOptions & DialQuestion {
  return {
    to,
    source: client.address,
    ...(from === undefined ? {} : { from }),
    ...(client.kind === "pod" ? { client: client.address } : {}),
  };
}

/** What counts and logs call the Service port of a group. */
export function edgeService({ service, port }: Pick<ProxyGroup, "service" | "port">): string {
  return `${service}:${port}`;
}

/** Counts a connection that reached no endpoint. */
export function countRefusal(
  { connections, reactor }: Pick<StreamParts, "connections" | "reactor">,
  client: Client,
  {
    group,
    route,
  }: { readonly group: Pick<ProxyGroup, "service" | "port">; readonly route: string },
  why: Failure,
): void {
  const slot = connections.slot(client.source, edgeService(group), route, "", reactor.nowMs);
  connections.started(slot);
  connections.finished(slot, why, Number.NaN);
}
