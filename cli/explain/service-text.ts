// A ServiceReport as text for people.

import { formatTable } from "../output.ts";
import type { AttachedRoute } from "./attached-routes.ts";
import type { EndpointRow } from "./endpoint-table.ts";
import type { EntryPoint } from "./entry-points.ts";
import { laneCost } from "./lane-report.ts";
import { formatPods } from "./pod-report.ts";
import { formatProxyReport } from "./proxy-text.ts";
import type { PortReport, ServiceReport } from "./service-report.ts";

const FAMILY_NAMES = { ip: "IPv4", ip6: "IPv6" } as const;
/** Shown in place of an id that the kernel has not got. */
const NO_ID = "not yet";

export function formatServiceReport(report: ServiceReport): string {
  const zone = report.zone === undefined ? "" : `, zone ${report.zone}`;
  const head = `Service ${report.service} (${report.type}) on node ${report.node}${zone}\n`;
  const facts = formatTable(factsOf(report).map((row) => ["", ...row]));
  const ports = report.ports.map(formatPort);
  return [head, facts, ...ports, formatPods(report.pods), formatProblems(report)].join("");
}

function factsOf(report: ServiceReport): [string, string][] {
  const { policies, healthCheck, elements } = report;
  const counts = (["ip", "ip6"] as const).flatMap((family) => {
    const count = elements[family];
    return count === undefined ? [] : [`${count} elements in ${FAMILY_NAMES[family]}`];
  });
  const affinity =
    policies.affinitySeconds === undefined
      ? "no affinity"
      : `affinity by client for ${policies.affinitySeconds} s`;
  const sources =
    policies.sourceRanges.length === 0 ? [] : [`sources ${policies.sourceRanges.join(", ")}`];
  const price = laneCost(report.lane);
  const routes = report.routes.flatMap(routeInWords);
  return [
    ["lane", `${report.lane} (${report.rule})`],
    ...(price === undefined ? [] : [["price", price] satisfies [string, string]]),
    ...routes.map((text, i): [string, string] => [i === 0 ? "routes" : "", text]),
    [
      "policies",
      [`internal ${policies.internal}`, `external ${policies.external}`, affinity, ...sources].join(
        ", ",
      ),
    ],
    ...(healthCheck === undefined
      ? []
      : [["health", healthInWords(healthCheck)] satisfies [string, string]]),
    ["cost", counts.length === 0 ? "nothing: no address in either family" : counts.join(", ")],
    [
      "set ids",
      report.idsFrom === "kernel"
        ? "as in this machine's kernel"
        : "of this plan; run on the node itself to see its kernel's",
    ],
  ];
}

/** A line for the route, and one for each thing that is wrong with it. */
function routeInWords({ route, inUse, faults }: AttachedRoute): readonly string[] {
  const [only, ...others] = faults;
  const state = inUse ? "in use" : "not in use";
  if (only === undefined) return [`${route}: ${state}`];
  return [`${route}: ${state}; ${only}`, ...others.map((fault) => `  ${fault}`)];
}

function healthInWords({ port, localReady }: { port: number; localReady: number }): string {
  const answer = localReady > 0 ? "200" : "503";
  const endpoints = localReady === 1 ? "endpoint" : "endpoints";
  return `port ${port} answers ${answer}: ${localReady} ready ${endpoints} here`;
}

function formatPort(port: PortReport): string {
  const name = port.name === "" ? "" : `${port.name} `;
  const sets = port.sets.map(({ id, role, holds }) => ["", `set ${id ?? NO_ID}`, role, holds]);
  return [
    `\n${name}${port.port}/${port.protocol} over ${FAMILY_NAMES[port.family]}\n`,
    formatTable([
      ["", "ENTRY", "WHERE", "SET", "NEW FLOW", "STATE"],
      ...port.entries.flatMap(entryRows).map((row) => ["", ...row]),
    ]),
    "\n",
    ...(port.proxy === undefined ? [] : [`${formatProxyReport(port.proxy)}`]),
    formatTable(sets),
    `  topology: ${port.topology.why}\n\n`,
    port.rows.length === 0
      ? "  no endpoints\n"
      : formatTable([
          ["", "ENDPOINT", "NODE", "ZONE", "STATE", "CLUSTER", "LOCAL", "SLICE"],
          ...port.rows.map((row) => ["", ...endpointCells(row)]),
        ]),
  ].join("");
}

function entryRows(entry: EntryPoint): string[][] {
  const { kind, addresses, port, set, lookups, servedFor } = entry;
  const state = servedFor === undefined ? "served" : `not served: Service ${servedFor} has it`;
  const places = addresses.length === 0 ? ["nowhere: no address of this family"] : addresses;
  return places.map((address) => [
    kind,
    joinPort(address, port),
    set ?? NO_ID,
    `${lookups} lookups`,
    state,
  ]);
}

function endpointCells(row: EndpointRow): string[] {
  const states = [
    row.ready ? "ready" : "not ready",
    ...(row.serving === row.ready ? [] : [row.serving ? "serving" : "not serving"]),
    ...(row.terminating ? ["terminating"] : []),
  ];
  return [
    joinPort(row.address, row.port),
    row.node ?? "-",
    row.zone ?? "-",
    states.join(", "),
    row.cluster,
    row.local,
    row.slice,
  ];
}

function formatProblems({ problems }: ServiceReport): string {
  if (problems.length === 0) return "\nno problems\n";
  const lines = problems.map(({ field, message }) => `  ${field}: ${message}\n`);
  return `\nproblems\n${lines.join("")}`;
}

/** Words in place of an address keep their distance from the port. */
function joinPort(address: string, port: number): string {
  if (address.includes(" ")) return `${address}, port ${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
