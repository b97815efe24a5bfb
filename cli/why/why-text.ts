// Why a connection goes where it goes, as text for people.

import { formatCan } from "../can/can-text.ts";
import { formatTable } from "../output.ts";
import { denialCells } from "../policy/denial-text.ts";
import type { WhyReport } from "./why-report.ts";

/** So many denials are shown, the newest. */
const MAX_SHOWN = 5;

export function formatWhy(report: WhyReport, nowMs: number): string {
  const { node, from, to, address, trace, policies } = report;
  const rows = [
    ["to", address.answer],
    ["lane", trace.verdict],
    ...(trace.translated ? [["endpoints", trace.destinations.join(" or ")]] : []),
    ["now", liveInWords(report)],
  ];
  return [
    `${from} → ${to} on node ${node}\n\n`,
    formatTable(rows.map((row) => ["", ...row])),
    policies === undefined ? "\npolicies are not asked: it leads nowhere\n" : "",
    policies === undefined ? "" : `\n${formatCan(policies)}`,
    formatDenials(report, nowMs),
  ].join("");
}

function liveInWords({ live, isHere, node }: WhyReport): string {
  if (live !== undefined) return `conntrack has it: it leads to ${inWords(live)}`;
  return isHere ? "conntrack has no such connection" : `not known: this machine is not ${node}`;
}

function formatDenials({ denials }: WhyReport, nowMs: number): string {
  if (denials === undefined) return "\nrecent denials are not known: no agent could be asked\n";
  if (denials.length === 0) return "\nno recent denial was recorded\n";
  const rows = denials.slice(-MAX_SHOWN).map((denial) => ["", ...denialCells(denial, nowMs)]);
  return `\nrecent denials\n${formatTable(rows)}`;
}

function inWords({ address, port }: { readonly address: string; readonly port: number }): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
