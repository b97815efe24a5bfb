// What brings connections to the workers' doors: tunnels to enrolled pods here, and direct calls
// of such pods to enrolled pods anywhere, and of the node's own processes to those of other nodes.
// Workers that are dead close the way to strict pods and leave that to permissive ones open.

import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import type { Rule, Statement } from "../../lib/nft/objects.ts";
import {
  accept,
  base,
  type Chain,
  field,
  goto,
  inSet,
  plain,
  verdict,
} from "../../lib/nft/rule-parts.ts";
import { JUDGE_DIRECT, JUDGE_HOST } from "./network-tables.ts";
import {
  BOUND_MARK,
  DELIVERED_MARK,
  DIVERTED_MARK,
  type PolicyPorts,
  SOCKET_MARK,
} from "./policy-table-parts.ts";

/** After the lanes of Services (-150), before DNAT (-100). */
const AFTER_LANES = -149;

const deliver: Statement = { kind: "set-mark", operator: "|", mask: DELIVERED_MARK };
const divert: Statement = { kind: "set-mark", operator: "|", mask: DIVERTED_MARK };
/** Of a flow, its packets both ways. */
const isDoors: Statement = { kind: "ct-mark-has", mask: BOUND_MARK };
const isTunnel: Statement = { kind: "tcp-dport", port: TUNNEL_PORT };
const ownSocket: Rule = [
  { kind: "socket-transparent" },
  { kind: "socket-mark-has", mask: SOCKET_MARK },
  deliver,
  accept,
];

/** Where `direct` leads for a destination of each mode. */
export const DIRECT_VERDICT = {
  strict: "goto entry-direct",
  permissive: "goto entry-living",
} as const;

/** The chains of one family; base chains first. */
export function entryChains({ tunnel, direct }: PolicyPorts): readonly Chain[] {
  const to = (port: number): Rule => [{ kind: "tproxy", port }, deliver, accept];
  return [
    base("entry", "filter", "prerouting", AFTER_LANES, arrivals()),
    base("entry-out", "route", "output", AFTER_LANES, departures()),
    plain("entry-new", [
      // The middle of a flow that conntrack forgot: no door knows it.
      [{ kind: "tcp-not-syn" }, accept],
      [isTunnel, inSet("workloads", field("daddr")), goto("entry-take")],
      [isTunnel, accept],
      [
        { kind: "mark-has", mask: BOUND_MARK },
        inSet("workloads", field("saddr")),
        { kind: "vmap", key: [field("daddr")], map: "direct" },
      ],
    ]),
    plain("entry-living", [[inSet("alive", field("meta l4proto")), goto("entry-direct")]]),
    plain("entry-direct", [...JUDGE_DIRECT, [goto("entry-take")]]),
    plain("entry-host", [
      // By another address it is somebody whom only the other node can judge.
      [inSet("host-callers", field("saddr")), ...JUDGE_HOST],
      [{ kind: "set-ct-mark", mask: BOUND_MARK }, divert],
    ]),
    plain("entry-take", [[{ kind: "set-ct-mark", mask: BOUND_MARK }, goto("entry-doors")]]),
    plain("entry-doors", [
      [isTunnel, ...to(tunnel)],
      [isTunnel, { kind: "reset-tcp" }],
      to(direct),
      // What was meant for a tunnel never goes on in plaintext.
      [{ kind: "reset-tcp" }],
    ]),
  ];
}

function arrivals(): readonly Rule[] {
  return [
    // Errors about our upstream connections are addressed to the client, whose address they bear.
    [{ kind: "l4proto", protocol: "icmp" }, ...ownSocket],
    [{ kind: "l4proto", protocol: "tcp", negate: true }, accept],
    [{ kind: "mark-has", mask: DIVERTED_MARK }, isDoors, goto("entry-doors")],
    [{ kind: "mark-has", mask: DELIVERED_MARK }, accept],
    [{ kind: "ct-dnat" }, accept],
    // Not for SYNs: a socket in TIME_WAIT would take those that use its ports again.
    [{ kind: "tcp-not-syn" }, ...ownSocket],
    [{ kind: "ct-reply" }, accept],
    // Conntrack gave the flow another source port, since one to a Service with this endpoint has
    // had the same: only behind these rules do its packets bear what its socket is known by.
    [{ kind: "tcp-not-syn" }, { kind: "ct-snat" }, isDoors, deliver, accept],
    // Of a flow that a door has: a SYN again, or the last of a handshake that is in a cookie.
    [isDoors, goto("entry-doors")],
    [{ kind: "ct-new" }, verdict({ kind: "goto", chain: "entry-new" })],
  ];
}

/** What this node's own processes call directly; without a living worker as ever, in plaintext. */
function departures(): readonly Rule[] {
  return [
    [{ kind: "l4proto", protocol: "tcp", negate: true }, accept],
    [{ kind: "mark-has", mask: SOCKET_MARK }, accept],
    // Resets that the kernel answers with, in the name of whoever was called.
    [{ kind: "ct-reply" }, accept],
    [isDoors, divert, accept],
    [{ kind: "tcp-not-syn" }, accept],
    [{ kind: "ct-dnat" }, accept],
    [isTunnel, accept],
    [
      { kind: "ct-new" },
      inSet("host-calls", field("daddr")),
      inSet("alive", field("meta l4proto")),
      { kind: "fib-local", field: "daddr", negate: true },
      goto("entry-host"),
    ],
  ];
}
