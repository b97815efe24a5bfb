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

/** Comes first for a packet whose `meta priority` holds the id of a lane's entry point. */
export const throughGate: Rule = [{ kind: "ct-new" }, jump("lane-gate")];

/**
 * Sets of who may, and not of who may not: a client that nobody knows yet is denied.
 * @param isHostProcess processes of this node are subject to no policy of its pods
 */
export function gateChains(isHostProcess: Statement): readonly Chain[] {
  const pass = verdict({ kind: "return" });
  const deny: Rule = [{ kind: "count", counter: DENIED_COUNTER }, drop];
  return [
    plain("lane-gate", [
      [isHostProcess, pass],
      [inSet("lane-isolated", field("saddr")), goto("lane-need-allow")],
      [inSet("lane-guarded", priority), goto("lane-need-allow")],
    ]),
    plain("lane-need-allow", [
      [inSet("lane-allow", field("saddr"), priority), pass],
      // Of a pod that is known all is known: no block of strangers speaks for it.
      [inSet("lane-pods", field("saddr")), ...deny],
      [inSet("lane-allow-blocks", priority, field("saddr")), pass],
      deny,
    ]),
  ];
}
