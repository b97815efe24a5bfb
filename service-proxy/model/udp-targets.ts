// Where UDP Services are reached on this node, and which endpoints may answer there: all that
// conntrack clean-up needs to know of Services.

import type { Address } from "../../lib/ip/address.ts";
import type { Endpoint } from "./endpoint.ts";

/** An address and port as text, `10.96.0.10 . 53`: nft's own form of the pair. */
export type SocketKey = string;

export interface UdpTargets {
  /** By ClusterIP, load-balancer VIP or externalIP and port: the endpoints that may answer. */
  readonly addresses: ReadonlyMap<SocketKey, ReadonlySet<SocketKey>>;
  /** By NodePort: the endpoints that may answer, of both address families. */
  readonly nodePorts: ReadonlyMap<number, ReadonlySet<SocketKey>>;
  /** Local addresses on which NodePorts are served; elsewhere the port is somebody else's. */
  readonly nodePortAddresses: ReadonlySet<Address>;
}

/** What was served and is no more: its translated flows lead to endpoints it no longer has. */
export interface RetiredTargets {
  readonly addresses: ReadonlySet<SocketKey>;
  readonly nodePorts: ReadonlySet<number>;
}

/** One UDP port of one Service in one address family. */
export interface UdpServicePort {
  readonly port: number;
  /** ClusterIP, load-balancer VIPs and externalIPs of that family. */
  readonly addresses: readonly Address[];
  /** 0 when none is allocated. */
  readonly nodePort: number;
  /** All endpoints, of any node: policies and topology steer new flows, not living ones. */
  readonly endpoints: readonly Endpoint[];
}

export const noUdpTargets: UdpTargets = {
  addresses: new Map(),
  nodePorts: new Map(),
  nodePortAddresses: new Set(),
};

export const nothingRetired: RetiredTargets = { addresses: new Set(), nodePorts: new Set() };

export function socketKey(address: Address, port: number): SocketKey {
  return `${address} . ${port}`;
}

/**
 * Gathers the targets of all UDP Service ports. An endpoint may answer while it is serving, also
 * while it terminates; ready counts too, because publishNotReadyAddresses makes endpoints ready
 * that are not serving. Ports that share an address or NodePort share their endpoints.
 */
export function gatherUdpTargets(
  ports: Iterable<UdpServicePort>,
  nodePortAddresses: Iterable<Address>,
): UdpTargets {
  const addresses = new Map<SocketKey, Set<SocketKey>>();
  const nodePorts = new Map<number, Set<SocketKey>>();
  for (const { port, addresses: served, nodePort, endpoints } of ports) {
    const answering = endpoints.filter((endpoint) => endpoint.serving || endpoint.ready);
    const keys = answering.map((endpoint) => socketKey(endpoint.address, endpoint.port));
    for (const address of served) unite(addresses, socketKey(address, port), keys);
    if (nodePort !== 0) unite(nodePorts, nodePort, keys);
  }
  return { addresses, nodePorts, nodePortAddresses: new Set(nodePortAddresses) };
}

/** True when both describe the same targets, whoever built them. */
export function sameUdpTargets(a: UdpTargets, b: UdpTargets): boolean {
  return (
    sameMembers(a.nodePortAddresses, b.nodePortAddresses) &&
    sameEndpoints(a.addresses, b.addresses) &&
    sameEndpoints(a.nodePorts, b.nodePorts)
  );
}

/**
 * What a change of targets retires, added to what was retired before. A target that is wanted
 * again leaves the retired ones: its endpoints decide from then on.
 */
export function retireTargets(
  before: UdpTargets,
  after: UdpTargets,
  retired: RetiredTargets = nothingRetired,
): RetiredTargets {
  return {
    addresses: retireKeys(before.addresses, after.addresses, retired.addresses),
    nodePorts: retireKeys(before.nodePorts, after.nodePorts, retired.nodePorts),
  };
}

function sameEndpoints<Key>(
  a: ReadonlyMap<Key, ReadonlySet<SocketKey>>,
  b: ReadonlyMap<Key, ReadonlySet<SocketKey>>,
): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [key, endpoints] of a) {
    const others = b.get(key);
    if (others === undefined || !sameMembers(endpoints, others)) return false;
  }
  return true;
}

function sameMembers<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a === b || (a.size === b.size && a.isSubsetOf(b));
}

function retireKeys<Key>(
  before: ReadonlyMap<Key, unknown>,
  after: ReadonlyMap<Key, unknown>,
  retired: ReadonlySet<Key>,
): ReadonlySet<Key> {
  const keys = new Set<Key>();
  for (const key of retired) if (!after.has(key)) keys.add(key);
  for (const key of before.keys()) if (!after.has(key)) keys.add(key);
  return keys;
}

function unite<Key>(
  map: Map<Key, Set<SocketKey>>,
  key: Key,
  endpoints: readonly SocketKey[],
): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, new Set(endpoints));
  else for (const endpoint of endpoints) known.add(endpoint);
}
