// Checks of the node's limits: connection tracking and ports. Pure.

import type { EphemeralPorts, Facts } from "./facts.ts";
import { type Check, fail, ifKnown, ok, some, type Verdict, warn } from "./verdict.ts";

/** Shares of the connection table. */
const FULL = 0.95;
const FILLING = 0.75;
/** The API server's default for --service-node-port-range. */
const NODE_PORTS = { first: 30_000, last: 32_767 } as const;

export const LIMIT_CHECKS: readonly Check[] = [
  { id: "node.conntrack-table", worst: "fail", judge: judgeConntrack },
  { id: "node.conntrack-limits", worst: "warn", judge: judgeLimits },
  { id: "node.tcp-be-liberal", worst: "warn", judge: judgeBeLiberal },
  { id: "node.port-range", worst: "warn", judge: judgePortRange },
];

function judgeConntrack({ host: { conntrack } }: Facts): Verdict {
  return ifKnown(conntrack, ({ entries, limit }) => {
    const share = limit === 0 ? 0 : entries / limit;
    const message = `${entries} of ${limit} entries (${Math.round(share * 100)} %)`;
    const hint = "raise --conntrack-max-per-core or --conntrack-min; look for who opens so many";
    if (share >= FULL) return fail(`${message}: new connections are dropped when it is full`, hint);
    return share >= FILLING ? warn(message, hint) : ok(message);
  });
}

/** The agent sets them at its start; whoever changes them later wins. */
function judgeLimits({ host: { limitsToSet }, pre }: Facts): Verdict {
  return ifKnown(limitsToSet, (limits) => {
    if (limits.length === 0) return ok("as the flags ask");
    if (pre) return ok(`the agent will set ${some(limits)}`);
    return warn(`not as the flags ask: ${some(limits)}`, "restart the agent: it sets them");
  });
}

function judgeBeLiberal({ host: { tcpBeLiberal }, settings }: Facts): Verdict {
  return ifKnown(tcpBeLiberal, (liberal) => {
    if (liberal) return ok("on: late packets of a connection are still translated");
    if (settings.conntrack.tcpBeLiberal) {
      return warn(
        "off, though --conntrack-tcp-be-liberal asks for it",
        "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1, or restart the agent",
      );
    }
    return ok("off; --conntrack-tcp-be-liberal helps if clients see resets of late packets");
  });
}

function judgePortRange({ host: { ephemeralPorts }, cluster: { objects } }: Facts): Verdict {
  return ifKnown(ephemeralPorts, (range) => {
    const text = `${range.first}-${range.last}`;
    if (!overlaps(range)) return ok(`source ports ${text} keep off NodePorts`);
    const used = objects.kind === "known" ? objects.value.nodePorts : [];
    const hit = used.filter((port) => isEphemeral(range, port)).map(String);
    const which = hit.length === 0 ? "" : `, ${some(hit)} among those in use`;
    return warn(
      `source ports ${text} overlap NodePorts ${NODE_PORTS.first}-${NODE_PORTS.last}${which}: ` +
        "a process of the node may get a NodePort as its source port, and lose its replies",
      `sysctl -w net.ipv4.ip_local_reserved_ports=${NODE_PORTS.first}-${NODE_PORTS.last}`,
    );
  });
}

function overlaps(range: EphemeralPorts): boolean {
  for (let port: number = NODE_PORTS.first; port <= NODE_PORTS.last; port++) {
    if (isEphemeral(range, port)) return true;
  }
  return false;
}

function isEphemeral({ first, last, reserved }: EphemeralPorts, port: number): boolean {
  if (port < first || port > last) return false;
  return !reserved.some(([from, to]) => port >= from && port <= to);
}
