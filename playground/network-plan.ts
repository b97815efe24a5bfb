// The commands that wire a playground, as a value: a test can read the wiring, and one process per
// namespace can carry it out.
//
// Interfaces get fixed link-local addresses with `nodad`: generated ones stay tentative for a
// second, during which a router cannot send neighbour solicitations and IPv6 looks broken.

import type { AddressPair } from "./topology.ts";

/** What one namespace is told once its interfaces exist. */
export interface NamespaceSetup {
  /** Undefined is the root namespace. */
  readonly netns: string | undefined;
  /**
   * `key=value`; `*` in a key means every interface that is there, `all` and `default`; with a
   * `-` before it the key may be missing, as in sysctl.d(5).
   */
  readonly sysctls: readonly string[];
  /** Lines for `ip -batch`. */
  readonly ip: readonly string[];
  /** A ruleset for `nft -f`, or empty. */
  readonly nft: string;
}

export interface NetworkPlan {
  /** To be created before anything else. */
  readonly namespaces: readonly string[];
  /** Lines for one `ip -batch` in the root namespace: both ends are born in their namespaces. */
  readonly links: readonly string[];
  readonly setups: readonly NamespaceSetup[];
}

/** Joins plans so that each namespace is set up by one process, in the order given. */
export function mergePlans(plans: readonly NetworkPlan[]): NetworkPlan {
  const setups = new Map<string | undefined, NamespaceSetup>();
  for (const setup of plans.flatMap((plan) => plan.setups)) {
    const before = setups.get(setup.netns);
    setups.set(setup.netns, {
      netns: setup.netns,
      sysctls: [...(before?.sysctls ?? []), ...setup.sysctls],
      ip: [...(before?.ip ?? []), ...setup.ip],
      nft: (before?.nft ?? "") + setup.nft,
    });
  }
  return {
    namespaces: plans.flatMap((plan) => plan.namespaces),
    links: plans.flatMap((plan) => plan.links),
    setups: [...setups.values()],
  };
}

/** Lines that send everything unknown to one router. */
export function defaultRoutes({ ip, ip6 }: AddressPair): string[] {
  return [`route add default via ${ip}`, `route add default via ${ip6}`];
}
