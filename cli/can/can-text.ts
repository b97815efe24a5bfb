// What `can` answers, as text for people: ways that differ in nothing but their ends are together.

import type { CanSide } from "../../netpol-identity/evaluate/can.ts";
import { formatTable } from "../output.ts";
import type { CanReport, CanWay } from "./can-report.ts";

const VERDICTS = { allow: "allowed", deny: "denied", open: "open" } as const;
const NEEDS_REQUEST = "the request has to tell: give its method and path\n";
const NEEDS_IDENTITIES = "no identities with these flags: give the agent's own --identity\n";
/** So many ways of one kind are listed. */
const MAX_LISTED = 10;

export function formatCan(report: CanReport): string {
  const { from, to, protocol, request, verdict, ways } = report;
  const asked = request === undefined ? "" : ` ${request}`;
  const count = ways.length === 1 ? "" : ` (${report.allowed} of ${ways.length} ways)`;
  const head = `${from} → ${to}/${protocol.toLowerCase()}${asked}: ${VERDICTS[verdict]}${count}\n`;
  const isClosed = ways.some(({ lane }) => lane === "closed") && !report.hasIdentities;
  const hint = `${verdict === "open" ? NEEDS_REQUEST : ""}${isClosed ? NEEDS_IDENTITIES : ""}`;
  const kinds = [...Map.groupBy(ways, reasonsOf).values()];
  return head + hint + kinds.map((kind) => formatKind(kind, ways.length > 1)).join("");
}

/** Also of a single way, in `why`. */
export function wayRows(way: CanWay): string[][] {
  const { egress, ingress } = way;
  return [
    ["verdict", `${VERDICTS[way.verdict]}: ${way.rule}`],
    ["lane", laneInWords(way)],
    ["identity", identityInWords(way)],
    ...(egress === undefined ? [] : sideRows("egress", way.from.name, egress)),
    ...(ingress === undefined ? [] : sideRows("ingress", way.to.name, ingress)),
  ];
}

function formatKind(kind: readonly CanWay[], isOfSeveral: boolean): string {
  const [first] = kind;
  if (first === undefined) return "";
  const listed = kind.slice(0, MAX_LISTED).map(({ from, to }) => {
    const place = to.name === to.address ? "" : ` (${from.address} → ${to.address})`;
    return `  ${from.name} → ${to.name}:${to.port}${place}\n`;
  });
  const more = kind.length > MAX_LISTED ? `  and ${kind.length - MAX_LISTED} more\n` : "";
  const ends = isOfSeveral ? `${listed.join("")}${more}` : "";
  return `\n${ends}${formatTable(wayRows(first).map((row) => ["", ...row]))}`;
}

function sideRows(side: string, pod: string, { verdict, policies, audits }: CanSide): string[][] {
  return [
    [side, `${VERDICTS[verdict.kind]}: ${verdict.rule}`],
    ["", `${pod} is selected by ${policies.length === 0 ? "no policy" : policies.join(", ")}`],
    ...audits.map((rule) => ["", `told of by ${rule}`]),
  ];
}

function laneInWords({ lane }: CanWay): string {
  switch (lane) {
    case "host":
      return "kernel: policies do not stand between a node and its pods";
    case "tunnel":
      return "tunnel: workers prove both identities and judge";
    case "worker":
      return "worker: a proxy lane of this node makes the connection and judges";
    case "kernel":
      return "kernel: judged by addresses";
    case "closed":
      return "closed to plaintext: needs a certificate, or a worker of its own node";
    default:
      return lane satisfies never;
  }
}

function identityInWords({ identity, from, to }: CanWay): string {
  if (identity !== null) return `${identity}, proved on the wire`;
  if (from.identity === undefined) return `none: ${from.name} is known by its address alone`;
  const why = to.identity === undefined ? `${to.name} has none` : "only TCP is carried by tunnels";
  return `${from.identity} is not proved, for ${why}: known by its address alone`;
}

/** Equal for ways that are told together. */
function reasonsOf({ from, to, ...answer }: CanWay): string {
  const known = [from.identity === undefined, to.identity === undefined];
  return JSON.stringify([answer, known]);
}
