// The chains that bring connections to the proxy's workers instead of to DNAT. They exist only
// where a Service is in a lane. Every line cures a failure that was seen: see each comment.

import type { Rule, Statement } from "../../lib/nft/objects.ts";
import { gateChains, throughGate, throughHostGate } from "./lane-gate-rules.ts";
import { DELIVERED_MARK, DIVERTED_MARK, type LaneOptions, SOCKET_MARK } from "./lane-marks.ts";
import {
  accept,
  base,
  type Chain,
  drop,
  field,
  goto,
  inSet,
  jump,
  plain,
  priority,
  setPriority,
  verdict,
} from "../../lib/nft/rule-parts.ts";

/** A match that can be turned round. */
export type OriginMatch = Extract<Statement, { kind: "in-set" | "iifname" }>;

/** The match that holds where `match` does not. */
export function negated(match: OriginMatch): OriginMatch {
  return { ...match, negate: true };
}

export interface LaneRuleset {
  readonly lane: LaneOptions;
  readonly gated: boolean;
  /** See LaneGate. */
  readonly logGroup?: number | undefined;
  /** Any of these matches traffic of this node's own pods. */
  readonly fromPods: readonly OriginMatch[];
  /** Matches the addresses where NodePorts answer. */
  readonly onNode: Rule;
}

/** Before DNAT (-100) and after connection tracking (-200). */
const MANGLE = -150;

const deliver: Statement = { kind: "set-mark", operator: "|", mask: DELIVERED_MARK };
const divert: Statement = { kind: "set-mark", operator: "|", mask: DIVERTED_MARK };
const ownSocket: Rule = [
  { kind: "socket-transparent" },
  { kind: "socket-mark-has", mask: SOCKET_MARK },
  deliver,
  accept,
];
const isDiverted: Statement = { kind: "mark-has", mask: DIVERTED_MARK };
const entry = [field("daddr"), field("meta l4proto"), field("th dport")];

/** All chains of the lanes; base chains first. */
export function laneChains(ruleset: LaneRuleset): readonly Chain[] {
  return [
    base("lane-in", "filter", "prerouting", MANGLE, arrivals(ruleset.onNode)),
    base("lane-out", "route", "output", MANGLE, departures()),
    plain("lane", lane(ruleset)),
    ...(ruleset.gated ? gateChains(isDiverted, ruleset.logGroup) : []),
    plain("lane-ranges", [
      [inSet("lb-allow", priority, field("saddr")), verdict({ kind: "return" })],
      [drop],
    ]),
    plain("lane-enter", enter(ruleset)),
    plain("lane-divert", diversion(ruleset)),
  ];
}

function arrivals(onNode: Rule): readonly Rule[] {
  return [
    // Errors about our upstream connections are addressed to the client, whose address they bear:
    // without this an MTU on the way becomes a black hole.
    [{ kind: "l4proto", protocol: "icmp" }, ...ownSocket],
    [{ kind: "l4proto", protocol: "tcp", negate: true }, accept],
    // Flows from before their Service came into a lane stay where they are, and look for no socket.
    [{ kind: "ct-dnat" }, accept],
    // Not for SYNs: a socket in TIME_WAIT would take those that use its ports again.
    [{ kind: "tcp-not-syn" }, ...ownSocket],
    // An answer to a masqueraded flow may come to a port that is a NodePort as well.
    [{ kind: "ct-reply" }, accept],
    [setPriority("lane-vips", ...entry), goto("lane")],
    [...onNode, setPriority("lane-nodeports", ...entry.slice(1)), goto("lane")],
  ];
}

/** A packet for a Service of a lane; `meta priority` holds its id. */
function lane({ lane: { onDead }, gated }: LaneRuleset): readonly Rule[] {
  const refused: Rule = [{ kind: "ct-new" }, { kind: "reset-tcp" }];
  return [
    ...(gated ? [throughGate] : []),
    [{ kind: "ct-new" }, inSet("lane-ranged", priority), jump("lane-ranges")],
    [{ kind: "clear-priority" }],
    [inSet("alive", field("meta l4proto")), jump("lane-enter")],
    // On its way out conntrack has settled that this flow is not translated: DNAT comes too late.
    [isDiverted, { kind: "reset-tcp" }],
    ...(onDead === "refuse" ? [refused] : []),
  ];
}

/** `tproxy` ends its rule when nobody listens: the packet goes on towards DNAT. */
function enter({ lane: { portInside, portOutside }, fromPods }: LaneRuleset): readonly Rule[] {
  const to = (port: number): Rule => [{ kind: "tproxy", port }, deliver, accept];
  return [
    [isDiverted, ...to(portOutside)],
    ...fromPods.map((match): Rule => [match, ...to(portInside)]),
    [...fromPods.map(negated), ...to(portOutside)],
  ];
}

function departures(): readonly Rule[] {
  return [
    [{ kind: "l4proto", protocol: "tcp", negate: true }, accept],
    [{ kind: "mark-has", mask: SOCKET_MARK }, accept],
    // A flow that went to a worker stays there, also when its Service has left the lane.
    [{ kind: "ct-mark-has", mask: DELIVERED_MARK }, divert, accept],
    [{ kind: "ct-dnat" }, accept],
    [{ kind: "ct-new" }, setPriority("lane-vips", ...entry), goto("lane-divert")],
  ];
}

/** Without a living worker the connection stays in the kernel lane. */
function diversion({ gated }: LaneRuleset): readonly Rule[] {
  return [
    ...(gated ? [throughHostGate] : []),
    [{ kind: "clear-priority" }],
    [
      inSet("alive", field("meta l4proto")),
      { kind: "fib-local", field: "daddr", negate: true },
      { kind: "set-ct-mark", mask: DELIVERED_MARK },
      divert,
    ],
  ];
}
