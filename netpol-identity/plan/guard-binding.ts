// Which interface of this node each pod has: what anti-spoofing and identities rest on. An address
// that two claim belongs to neither; an identity never follows an address to another interface.

import type { Link } from "../../lib/netlink/link.ts";
import type { PolicyPod } from "./policy-table-parts.ts";

/** A pod's address and the interface at which alone it may appear as a source. */
export interface Binding {
  readonly uid: string;
  readonly address: string;
  readonly link: Link;
}

/** What the node's network says of pods. */
export interface PodNetwork {
  readonly links: readonly Link[];
  /** Number of the link that the host route to an address names. */
  readonly routes: ReadonlyMap<string, number>;
  /** Addresses at the far end of a bridge's port, by the port's number. */
  readonly behind: ReadonlyMap<number, readonly string[]>;
}

/** Where an address of a pod was first seen, by `uid address`, for as long as the pod is listed. */
export type BindingMemory = ReadonlyMap<string, Link>;

export interface BindingResult {
  /** Sorted by address. */
  readonly bindings: readonly Binding[];
  /** For the next call. */
  readonly memory: BindingMemory;
  /** Why a pod's address has no interface; a sentence each. */
  readonly problems: readonly string[];
  /** Of enrolled pods, by address, sorted. */
  readonly unsupported: UnsupportedAddresses;
}

/**
 * Addresses of enrolled pods that never had an interface which would prove anything. A pod that had
 * one is only ending.
 */
export type UnsupportedAddresses = ReadonlyMap<string, UnsupportedAddress>;

export interface UnsupportedAddress {
  readonly uid: string;
  /** A sentence without its full stop. */
  readonly why: string;
}

type Found = Link | { readonly why: string; readonly isUnsupported?: true };

const UNSUPPORTED =
  "only CNIs with routed or bridged veths are supported, not ipvlan, macvlan, eBPF";

/**
 * Binds every address of every pod to its interface. Whoever had an address keeps it against later
 * claims; an enrolled pod whose interface has gone never gets another for the same address, since
 * who is there now may be its successor.
 */
export function bindPods(
  pods: readonly PolicyPod[],
  network: PodNetwork,
  before: BindingMemory,
): BindingResult {
  const owners = ownersOf(pods);
  const finder = new LinkFinder(network, owners);
  const bindings: Binding[] = [];
  const memory = new Map<string, Link>();
  const problems: string[] = [];
  const unsupported: (readonly [string, UnsupportedAddress])[] = [];
  for (const { uid, addresses, mode } of pods) {
    for (const address of addresses) {
      const key = `${uid} ${address}`;
      const old = before.get(key);
      const isContested = owners.get(address) === "several";
      const found = isContested ? { why: "two pods claim it" } : finder.find(address, old, mode);
      if ("why" in found) problems.push(`Cannot bind pod address ${address}: ${found.why}`);
      else bindings.push({ uid, address, link: found });
      if ("why" in found && "isUnsupported" in found && old === undefined && mode !== "off") {
        unsupported.push([address, { uid, why: found.why }]);
      }
      const seen = mode === "off" && !("why" in found) ? found : (old ?? found);
      if (!("why" in seen)) memory.set(key, seen);
    }
  }
  bindings.sort((a, b) => (a.address < b.address ? -1 : 1));
  unsupported.sort(([a], [b]) => (a < b ? -1 : 1));
  return { bindings, memory, problems, unsupported: new Map(unsupported) };
}

/** By address the pod's uid. */
function ownersOf(pods: readonly PolicyPod[]): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const { uid, addresses } of pods) {
    for (const address of addresses) owners.set(address, owners.has(address) ? "several" : uid);
  }
  return owners;
}

class LinkFinder {
  readonly #routes: PodNetwork["routes"];
  readonly #links: ReadonlyMap<number, Link>;
  readonly #ports = new Map<string, Link[]>();

  constructor({ links, routes, behind }: PodNetwork, owners: ReadonlyMap<string, string>) {
    this.#routes = routes;
    this.#links = new Map(links.map((link) => [link.index, link]));
    for (const [index, addresses] of behind) {
      const port = this.#links.get(index);
      const known = addresses.filter((address) => owners.has(address));
      // A port with addresses of two pods is lying about one.
      const isClear = new Set(known.map((address) => owners.get(address))).size === 1;
      if (port === undefined || !isClear) continue;
      for (const address of known) {
        this.#ports.set(address, [...(this.#ports.get(address) ?? []), port]);
      }
    }
  }

  find(address: string, old: Link | undefined, mode: PolicyPod["mode"]): Found {
    const route = this.#links.get(this.#routes.get(address) ?? -1);
    const isThere = old !== undefined && this.#links.get(old.index)?.name === old.name;
    if (isThere && (route === undefined || route.index === old.index)) return old;
    const fresh = this.#fresh(address, route);
    if (old === undefined || mode === "off" || "why" in fresh) return fresh;
    if (fresh.index === old.index) return fresh;
    const [from, to] = [old, fresh].map(({ name, index }) => `${name} (${index})`);
    return { why: `it moved from ${from} to ${to}, and no identity follows it` };
  }

  #fresh(address: string, route: Link | undefined): Found {
    if (route?.kind === "veth") return route;
    const [port, other] = this.#ports.get(address) ?? [];
    if (port !== undefined && other !== undefined) {
      return { why: `${port.name} and ${other.name} both have it` };
    }
    if (port !== undefined) return port;
    if (route === undefined || route.kind === "bridge") {
      return unsupported("no host route and no port of a bridge leads to it");
    }
    return unsupported(`its route leads to ${route.name}, which is no veth`);
  }
}

function unsupported(what: string): Found {
  return { why: `${what}; ${UNSUPPORTED}`, isUnsupported: true };
}
