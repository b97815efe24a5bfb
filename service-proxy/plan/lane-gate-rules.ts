// The chains that decide at a connection's first packet whether its client may connect to a Service
// of a lane: after it a worker has taken the connection, and silence is no answer any more.

import type { Rule, Statement } from "../../lib/nft/objects.ts";
import {
  type Chain,
  drop,
  field,
  goto,
  inSet,
  jump,
  plain,
  priority,
  verdict,
} from "../../lib/nft/rule-parts.ts";

/** Counts connections that the gate dropped, by their packets. */
export const DENIED_COUNTER = "lane-denied";

/** A group of nfnetlink_log hears of some of them by this name. */
const DENIED_PREFIX = "denied-lane";
const LOGS_PER_SECOND = 10;

const toDenied = goto("lane-denied");

/** Comes first for a packet whose `meta priority` holds the id of a lane's entry point. */
export const throughGate: Rule = [{ kind: "ct-new" }, jump("lane-gate")];

/** The same for a process of this node, on its way out: a SYN that is dropped is sent again. */
export const throughHostGate: Rule = [inSet("lane-host-denied", priority), toDenied];

/**
 * Sets of who may, and not of who may not: a client that nobody knows yet is denied.
 * @param isHostProcess it came through `throughHostGate`
 * @param logGroup of nfnetlink_log
 */
export function gateChains(isHostProcess: Statement, logGroup?: number): readonly Chain[] {
  const pass = verdict({ kind: "return" });
  return [
    plain("lane-gate", [
      [isHostProcess, pass],
      [inSet("lane-isolated", field("saddr")), goto("lane-need-allow")],
      [inSet("lane-guarded", priority), goto("lane-need-allow")],
    ]),
    plain("lane-need-allow", [
      [inSet("lane-allow", field("saddr"), priority), pass],
      // Of a pod that is known all is known: no block of strangers speaks for it.
      [inSet("lane-pods", field("saddr")), toDenied],
      [inSet("lane-allow-blocks", priority, field("saddr")), pass],
      [toDenied],
    ]),
    plain("lane-denied", [...tell(logGroup), [{ kind: "count", counter: DENIED_COUNTER }, drop]]),
  ];
}

function tell(group: number | undefined): readonly Rule[] {
  if (group === undefined) return [];
  return [[{ kind: "log", prefix: DENIED_PREFIX, group, perSecond: LOGS_PER_SECOND }]];
}
