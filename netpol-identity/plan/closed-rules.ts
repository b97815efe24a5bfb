// Strict pods take nothing but what a worker hands them: whatever else opens a connection to one is
// dropped, of every protocol but ICMP, behind every translation. Probes of this node's own
// processes pass, for kubelets; so do replies to what the pod began itself.

import { TUNNEL_PORT } from "../model/tunnel-plan.ts";
import type { Rule, Statement } from "../../lib/nft/objects.ts";
import {
  accept,
  base,
  type Chain,
  drop,
  field,
  goto,
  inSet,
  plain,
} from "../../lib/nft/rule-parts.ts";
import { TAGGED } from "./guard-rules.ts";
import { chainOf, COUNTERS, SOCKET_MARK } from "./policy-table-parts.ts";
import type { PlannedChain } from "../../lib/nft/table-plan.ts";

const dropClosed: Rule = [{ kind: "count", counter: COUNTERS.closed }, drop];
const notIcmp: Statement = { kind: "l4proto", protocol: "icmp", negate: true };

/** The chains of one family; base chains first. */
export function closedChains(): readonly Chain[] {
  const toClosed: Rule = [inSet("closed", field("daddr")), goto("closed")];
  return [
    base("closed-forward", "filter", "forward", 0, [toClosed]),
    base("closed-output", "filter", "output", 0, [
      [{ kind: "mark-has", mask: SOCKET_MARK }, accept],
      // This node's own processes call its pods without a tunnel.
      [
        { kind: "tcp-dport", port: TUNNEL_PORT },
        inSet("workloads", field("daddr")),
        { kind: "reset-tcp" },
      ],
      [{ kind: "fib-local", field: "saddr" }, accept],
      toClosed,
    ]),
    // Flows that conntrack does not know count as opened towards the pod.
    plain("closed", [
      [{ kind: "ct-reply" }, accept],
      [notIcmp, ...dropClosed],
    ]),
  ];
}

/**
 * On a bridge: what the IP hooks do not judge, but reaches a strict or isolated pod by its port. It
 * is addressed to no pod, or bears a tag, from a port that is no pod's or not known as one yet.
 */
export function closedPortChain(): PlannedChain {
  const toClosed = inSet("closed-ports", field("meta oif"));
  const rule = (family: "ip" | "ip6") => ({
    family,
    rule: [
      { kind: "frame-of-family" },
      toClosed,
      { ...inSet(`pods-${family}`, field("daddr")), negate: true },
      notIcmp,
      ...dropClosed,
    ] satisfies Rule,
  });
  const { spec } = chainOf("ip", base("closed-ports", "filter", "forward", 0, []));
  const tagged = TAGGED.map((isTagged) => ({
    family: "ip" as const,
    rule: [isTagged, toClosed, ...dropClosed] satisfies Rule,
  }));
  return { spec, rules: [rule("ip"), rule("ip6"), ...tagged] };
}
