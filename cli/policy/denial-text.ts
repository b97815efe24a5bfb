// Denials as text for people.

import type { Denial, DenialReport } from "../../netpol-identity/model/denial-report.ts";
import { formatAge } from "../identity/identity-text.ts";
import { formatTable } from "../output.ts";

export function formatDenials({ node, denials }: DenialReport, nowMs: number): string {
  const head = ["LAST SEEN", "FROM", "TO", "SIDE", "PACKETS", "RULE"];
  const rows = denials.map((denial) => denialCells(denial, nowMs));
  return `node ${node}\n\n${formatTable([head, ...rows])}`;
}

/** One denial's cells: when, from, to, side, packets, rule. */
export function denialCells(denial: Denial, nowMs: number): string[] {
  const { atMs, source, destination, port, protocol, direction, packets, rule } = denial;
  const { destinationPod, service, method, path = "" } = denial;
  return [
    `${formatAge(nowMs - atMs)} ago`,
    denial.sourcePod ?? source,
    `${destinationPod ?? service ?? destination}:${port}/${protocol.toLowerCase()}`,
    direction,
    String(packets),
    method === undefined ? rule : `${method} ${path}: ${rule}`,
  ];
}
