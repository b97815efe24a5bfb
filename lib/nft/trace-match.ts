// Which matches of a rule the first packet of a new connection meets. Such a packet opens a
// connection, so no socket of this node knows it yet.

import { addressBytes } from "../ip/address.ts";
import { cidrContains } from "../ip/cidr.ts";
import type { Match } from "./match.ts";
import type { Operand } from "./objects.ts";

/** What matches see of a packet on its way. */
export interface PacketView {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly destinationPort: number;
  /** Empty for packets of this node's own. */
  readonly interface: string;
  readonly mark: number;
  readonly translated: boolean;
  isLocal(address: string): boolean;
  /** The packet's own values, as keys of sets are written. */
  keyText(key: readonly Operand[]): string;
  find(set: string, key: readonly Operand[]): { readonly key: string; readonly element: unknown };
}

export interface MatchResult {
  readonly matched: boolean;
  /** What was compared, in words. */
  readonly why: string;
}

/** Evaluates one match. */
export function evaluateMatch(statement: Match, view: PacketView): MatchResult {
  switch (statement.kind) {
    case "in-set": {
      const found = view.find(statement.set, statement.key);
      const isInside = found.element !== undefined;
      const relation = isInside ? "in" : "not in";
      const why = `${found.key} ${relation} @${statement.set}`;
      return { matched: isInside !== (statement.negate ?? false), why };
    }
    case "in-list": {
      const key = view.keyText(statement.key);
      return { matched: statement.elements.some((text) => isInInterval(text, key)), why: key };
    }
    case "mark-has": {
      const hasAll = (view.mark & statement.mask) === statement.mask;
      return {
        matched: hasAll !== (statement.negate ?? false),
        why: `mark 0x${view.mark.toString(16)}`,
      };
    }
    case "frame-of-family":
    case "ct-new":
      return { matched: true, why: "" };
    case "frame-of-arp":
    case "frame-tagged":
    case "icmpv6-type":
      return { matched: false, why: "it opens a connection" };
    case "tcp-dport": {
      const matched = view.protocol === "tcp" && view.destinationPort === statement.port;
      return { matched, why: `${view.protocol} port ${view.destinationPort}` };
    }
    case "ct-dnat":
      return { matched: view.translated, why: "ct status dnat" };
    case "ct-snat":
    case "ct-known":
    case "ct-mark-has":
    case "ct-reply":
    case "tcp-not-syn":
    case "socket-transparent":
    case "socket-mark-has":
      return { matched: false, why: "it opens a connection" };
    case "l4proto": {
      const isProtocol = view.protocol === statement.protocol;
      return { matched: isProtocol !== (statement.negate ?? false), why: view.protocol };
    }
    case "fib-local": {
      const address = addressOf(view, statement.field);
      const isLocal = view.isLocal(address);
      const why = `${address} is ${isLocal ? "" : "not "}of this node`;
      return { matched: isLocal !== (statement.negate ?? false), why };
    }
    case "iifname": {
      const isInterface = matchesInterface(statement.name, view.interface);
      return {
        matched: isInterface !== (statement.negate ?? false),
        why: `iif "${view.interface}"`,
      };
    }
    case "prefix": {
      const address = addressOf(view, statement.field);
      const isInside = cidrContains(statement.prefix, address);
      return { matched: isInside !== (statement.negate ?? false), why: address };
    }
    default:
      return statement satisfies never;
  }
}

/** Whether a key's fields all lie in those of an interval set's element. */
export function isInInterval(element: string, key: string): boolean {
  const fields = key.split(" . ");
  return element.split(" . ").every((part, i) => {
    const value = fields[i] ?? "";
    if (part.includes("/")) return cidrContains(part, value);
    const [first = "", last] = part.split("-");
    return last === undefined ? part === value : isBetween(first, value, last);
  });
}

/** Ports, or addresses of one family. */
function isBetween(first: string, value: string, last: string): boolean {
  const [low, middle, high] = [first, value, last].map((text) =>
    /^\d+$/.test(text) ? Buffer.from(text.padStart(5, "0")) : addressBytes(text),
  );
  if (low === undefined || middle === undefined || high === undefined) return false;
  return Buffer.compare(low, middle) <= 0 && Buffer.compare(middle, high) <= 0;
}

function addressOf(view: PacketView, field: "saddr" | "daddr"): string {
  return field === "saddr" ? view.source : view.destination;
}

function matchesInterface(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
