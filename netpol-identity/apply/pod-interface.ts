// What this node's network says of where its pods are: links, routes to single addresses, and the
// addresses at the far ends of bridges' ports.

import type { Clock } from "../../lib/clock/clock.ts";
import { isBridgeWatched } from "../../lib/netlink/bridge-netfilter.ts";
import { type WatchOptions, watchLevel } from "../../lib/netlink/level-watch.ts";
import { type Link, listLinks } from "../../lib/netlink/link.ts";
import { listFarAddresses, listHostRoutes, ROUTE_GROUPS } from "../../lib/netlink/pod-route.ts";
import { listAddresses } from "../../lib/netlink/route.ts";
import { RouteError } from "../../lib/netlink/route-error.ts";
import type { PodNetwork } from "../plan/guard-binding.ts";

/** RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR */
const LINK_AND_ADDRESS_GROUPS = 0x111;

export interface NodeNetwork extends PodNetwork {
  /** Addresses of this node's own, of both families. */
  readonly nodeAddresses: readonly string[];
  /** Families of which br_netfilter shows frames on bridges to the IP hooks. */
  readonly watched: Readonly<Record<"ip" | "ip6", boolean>>;
}

/** Reads it as it is now. @throws RouteError */
export async function readNodeNetwork(): Promise<NodeNetwork> {
  const links = await listLinks();
  const routes = await listHostRoutes();
  const addresses = await listAddresses();
  const behind = new Map<number, readonly string[]>();
  for (const port of portsOf(links)) behind.set(port.index, await farAddresses(port));
  return {
    links,
    routes: new Map(routes.map(({ address, link }) => [address, link])),
    behind,
    nodeAddresses: addresses.map(({ address }) => address),
    watched: { ip: await isBridgeWatched("ip"), ip6: await isBridgeWatched("ip6") },
  };
}

export interface NetworkWatch {
  readonly clock: Clock;
  /** Something changed, or was there at the start. */
  readonly onChange: () => void;
  readonly onError: WatchOptions<unknown>["onError"];
  readonly signal: AbortSignal;
}

/** Watches links, addresses and routes; resolves when the signal has aborted, never rejects. */
export function watchNodeNetwork(watch: NetworkWatch): Promise<void> {
  const groups = LINK_AND_ADDRESS_GROUPS | ROUTE_GROUPS;
  const read = async (): Promise<unknown> => [
    await listLinks(),
    await listHostRoutes(),
    await listAddresses(),
  ];
  return watchLevel("the interfaces of pods", { groups, read }, watch);
}

function portsOf(links: readonly Link[]): readonly Link[] {
  const bridges = new Set(links.filter(({ kind }) => kind === "bridge").map(({ index }) => index));
  return links.filter(({ kind, master = -1 }) => kind === "veth" && bridges.has(master));
}

/** None for a port whose pod has just gone: the watch rings again. */
async function farAddresses({ peer }: Link): Promise<readonly string[]> {
  if (peer === undefined) return [];
  try {
    const all = await listFarAddresses(peer.namespace);
    return all.filter(({ link }) => link === peer.index).map(({ address }) => address);
  } catch (error) {
    if (error instanceof RouteError) return [];
    throw error;
  }
}
