// A trace as text for people.

import { percent } from "../explain/route-words.ts";
import { formatTable } from "../output.ts";
import type { TraceReport } from "./packet-trace.ts";
import type { ProxyStep, ProxyTarget } from "./proxy-step.ts";

const READS = {
  bytes: "relays the bytes unread",
  "server-names": "reads the server name of the TLS handshake",
  http: "reads HTTP requests",
} as const;

export function formatTrace(report: TraceReport): string {
  const rows = report.steps.map(({ chain, rule, note }, i) => [String(i + 1), chain, rule, note]);
  const source = report.masquerade ? "this node's address" : "kept";
  const facts = [
    ["verdict", report.verdict],
    ...(report.translated
      ? [
          ["to", report.destinations.join(" or ")],
          ["source", source],
        ]
      : []),
    ...(report.proxy === undefined ? [] : proxyRows(report.proxy, report.request)),
  ];
  return [
    `${report.from} → ${report.to} on ${report.node}\n`,
    formatTable(rows),
    formatTable(facts),
  ].join("\n");
}

function proxyRows(step: ProxyStep, request: string | undefined): string[][] {
  const { rule, rules, answer, targets } = step;
  const asked = step.reads === "http" && request !== undefined;
  return [
    ["proxy", `port ${step.port}: ${READS[step.reads]}`],
    ["client", step.client],
    ...(asked ? [["request", request]] : []),
    ...(rule === undefined
      ? []
      : [["rule", `${rule.route} ${rule.rule}: ${rule.match}`], ...rule.actions.map(and)]),
    ...(answer === undefined ? [] : [["answer", answer]]),
    ...rules.map(({ place, route, rule: name, match }) => [
      `rule ${place}`,
      `${route} ${name}: ${match}`,
    ]),
    ...(rules.length === 0 ? [] : [["", "the first that matches; --request says which"]]),
    ...targets.map(targetRow),
  ];
}

function and(action: string): string[] {
  return ["", action];
}

function targetRow({ share, serverName, group, endpoints }: ProxyTarget): string[] {
  const name = serverName === undefined ? "" : `${serverName}: `;
  const where =
    endpoints.length === 0 ? "nobody: refused" : endpoints.map(endpointInWords).join(" or ");
  return ["to", `${name}${percent(share)} ${group}: ${where}`];
}

function endpointInWords(endpoint: ProxyTarget["endpoints"][number]): string {
  const { at, seesAddress, tunnelTo } = endpoint;
  const tunnel = tunnelTo === undefined ? "" : `, by tunnel to ${tunnelTo}`;
  return `${at} (sees ${seesAddress}${tunnel})`;
}
