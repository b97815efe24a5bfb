// The routes around the lanes: a packet marked for local delivery is this node's own, whatever its
// destination. Three rules, not one: with net.ipv4.conf.*.src_valid_mark (WireGuard sets it) one
// rule alone makes every client's address look like a spoofed address of our own.

import type { RoutingRule } from "../../lib/netlink/route-change.ts";
import { RouteSocket } from "../../lib/netlink/route-socket.ts";
import type { Family } from "../../lib/nft/objects.ts";
import { DELIVERED_MARK, DIVERTED_MARK } from "../plan/lane-marks.ts";

const TABLE = 1_000;
/** Preference of the rule that leads to the main table, in every Linux. */
const MAIN = 32_766;
const DIVERTED = { mark: DIVERTED_MARK, mask: DIVERTED_MARK } as const;
const DELIVERED = { mark: DELIVERED_MARK, mask: DELIVERED_MARK } as const;

/**
 * Makes the rules and routes that are missing, which is cheap when none is.
 * @returns what was made, in words
 * @throws RouteError
 */
export function ensureLaneRoutes(families: readonly Family[]): readonly string[] {
  return change("add", families);
}

/**
 * Removes what `ensureLaneRoutes` makes.
 * @returns what was there, in words
 * @throws RouteError
 */
export function removeLaneRoutes(families: readonly Family[]): readonly string[] {
  return change("delete", families);
}

function change(operation: "add" | "delete", families: readonly Family[]): readonly string[] {
  const socket = new RouteSocket();
  const changed: string[] = [];
  try {
    for (const family of families) {
      const route = { family, table: TABLE };
      const what = `route ${family} local default dev lo table ${TABLE}`;
      if (socket.changeLocalDefault(operation, route)) changed.push(what);
      for (const rule of rulesOf(family)) {
        if (!socket.changeRule(operation, rule)) continue;
        changed.push(`rule ${family} preference ${rule.preference}`);
      }
    }
  } finally {
    socket.close();
  }
  return changed;
}

function rulesOf(family: Family): readonly RoutingRule[] {
  const lookup = { kind: "lookup", table: TABLE } as const;
  return [
    // A host process's packet on its way to the proxy: out and in again over loopback.
    { family, preference: 98, ...DIVERTED, action: lookup },
    // What the reverse path filter asks about a client counts as a packet of our own.
    {
      family,
      preference: 99,
      ...DELIVERED,
      interfaceName: "lo",
      action: { kind: "goto", preference: MAIN },
    },
    { family, preference: 100, ...DELIVERED, action: lookup },
  ];
}
