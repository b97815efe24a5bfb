// A ProxyReport as text for people.

import type { Balancing, SourceChoice } from "../../service-proxy/model/proxy-plan.ts";
import { formatTable } from "../output.ts";
import type {
  BackendReport,
  GroupReport,
  ProxyDoor,
  ProxyReading,
  ProxyReport,
  RuleReport,
} from "./proxy-report.ts";
import { percent } from "./route-words.ts";

export function formatProxyReport({ doors, reads, groups }: ProxyReport): string {
  if (doors.length === 0) return "  proxy: not asked, for nobody serves this port here\n\n";
  const parts = [
    indented([["PROXY AT", "FOR CLIENTS", "GROUP", "ENDPOINTS SEE"], ...doors.flatMap(doorRows)]),
    formatReading(reads),
    indented([
      ["GROUP", "BALANCING", "SPEAKS", "ENDPOINTS"],
      ...groups.flatMap((group) => groupRows(group, reads)),
    ]),
  ];
  return `${parts.join("\n")}\n`;
}

/** Where a rule's requests go, e.g. `90 % shop/web-v1:80 IPv4`; one phrase each. */
export function targetsInWords({
  backends,
  answers,
}: Pick<RuleReport, "backends" | "answers">): readonly string[] {
  return answers === undefined ? backends.map(backendInWords) : [`answers ${answers}`];
}

export function balancingInWords({ algorithm, affinitySeconds, preferZone }: Balancing): string {
  return [
    algorithm,
    ...(affinitySeconds === undefined ? [] : [`by client for ${affinitySeconds} s`]),
    ...(preferZone === undefined ? [] : [`zone ${preferZone} first`]),
  ].join(", ");
}

/** Whose address the endpoints of a connection see. A process of this node has this node's. */
export function sourceInWords(source: SourceChoice, from: "inside" | "outside"): string {
  switch (source) {
    case "node":
      return "this node's address";
    case "client":
      // Replies to others come back this way from endpoints of this node only.
      return from === "inside" ? OWN_ADDRESS : `${OWN_ADDRESS} at endpoints here, else this node's`;
    case "client-always":
      return OWN_ADDRESS;
    default:
      return source satisfies never;
  }
}

const OWN_ADDRESS = "their own address";

function doorRows({ at, inside, outside }: ProxyDoor): string[][] {
  return [
    [at, "of this node", inside.group, sourceInWords(inside.source, "inside")],
    ["", "others", outside.group, sourceInWords(outside.source, "outside")],
  ];
}

function formatReading(reads: ProxyReading): string {
  switch (reads.kind) {
    case "bytes": {
      if (reads.backends.length === 0) return "  bytes are relayed unread\n";
      return `  bytes are relayed unread: ${reads.backends.map(backendInWords).join(", ")}\n`;
    }
    case "server-names": {
      const rows = reads.names.map(({ hostname, backends }) => [
        hostname,
        backends.map(backendInWords).join(", "),
      ]);
      return [
        "  by the server name of the TLS handshake, else refused\n",
        indented([["SERVER NAME", "TO"], ...rows]),
      ].join("");
    }
    case "http":
      return formatRules(reads.rules);
    default:
      return reads satisfies never;
  }
}

function formatRules(rules: readonly RuleReport[]): string {
  if (rules.length === 0) return "  each HTTP request is balanced by itself; no route\n";
  const all = rules.some(({ clientNamespace }) => clientNamespace === undefined);
  const otherwise = all ? "" : "; clients without rules use the group above";
  return [
    `  the first rule that matches, in this order; none: 404${otherwise}\n`,
    indented([
      ["#", "CLIENTS", "ROUTE", "RULE", "MATCHES", "TO", "AND"],
      ...rules.flatMap(ruleRows),
    ]),
  ].join("");
}

/** A row for the rule, and more where it has several backends or actions. */
function ruleRows(rule: RuleReport): string[][] {
  const { place, clientNamespace, route, actions } = rule;
  const targets = targetsInWords(rule);
  const clients = clientNamespace === undefined ? "all" : `pods of ${clientNamespace}`;
  const first = [String(place), clients, route, rule.rule, rule.match];
  return Array.from({ length: Math.max(1, targets.length, actions.length) }, (_, i) => [
    ...(i === 0 ? first : first.map(() => "")),
    targets[i] ?? "",
    actions[i] ?? "",
  ]);
}

function backendInWords({ group, weight, share, actions }: BackendReport): string {
  const to = group ?? "nowhere (refused)";
  const and = actions.length === 0 ? "" : ` (${actions.join("; ")})`;
  return weight === 0 ? `0 % ${to}` : `${percent(share)} ${to}${and}`;
}

function groupRows(
  { group, balancing, protocol, proxyProtocol, endpoints }: GroupReport,
  reads: ProxyReading,
): string[][] {
  const speaks = [
    reads.kind === "http" ? (protocol === "http2" ? "HTTP/2" : "HTTP/1.1") : "bytes",
    ...(proxyProtocol ? ["PROXY v2"] : []),
  ].join(" after ");
  const cells =
    endpoints.length === 0
      ? ["none: refused"]
      : endpoints.map(({ at, where }) => `${at} (${where})`);
  return cells.map((cell, i) =>
    i === 0 ? [group, balancingInWords(balancing), speaks, cell] : ["", "", "", cell],
  );
}

function indented(rows: readonly (readonly string[])[]): string {
  return formatTable(rows.map((row) => ["", ...row]));
}
