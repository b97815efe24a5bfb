// Recorded edges, and what a change would do to them, as text for people: pods of one workload
// stand together.

import type { RehearsedEdge, RehearsedEnd } from "../../netpol-identity/evaluate/rehearse.ts";
import type { EdgeReport } from "../../netpol-identity/model/edge-report.ts";
import { formatAge } from "../identity/identity-text.ts";
import { formatTable } from "../output.ts";
import type { ChangedRequest, PolicyDiff, RequestDiff } from "./policy-diff.ts";
import { workloadOf } from "./workload-name.ts";

export function formatEdges({ node, pods, edges }: EdgeReport, nowMs: number): string {
  const told = edges.map((edge) => ({
    ...edge,
    client: endIn(pods, edge.client),
    server: endIn(pods, edge.server),
  }));
  const rows = [...Map.groupBy(told, edgeName).values()].map((group) => [
    ...placeCells(group),
    group[0]?.isProven === true ? "yes" : "no",
    ...seenCells(group, nowMs),
    requestsCell(group),
  ]);
  const head = ["FROM", "TO", "PROVEN", "LAST SEEN", "CONNECTIONS", "REQUESTS"];
  return `node ${node}\n\n${formatTable([head, ...rows])}`;
}

export function formatDiff(diff: PolicyDiff, nowMs: number): string {
  const { rehearsed, denied, allowed, opened, requests } = diff;
  const count = denied.length + allowed.length + opened.length;
  return [
    `${count} of ${rehearsed} recorded edges would change\n`,
    section("newly denied", denied, nowMs),
    section("newly allowed", allowed, nowMs),
    section("allowed for some requests only", opened, nowMs),
    formatRequests(requests),
  ].join("");
}

/** Nothing where none was recorded that rules would look at. */
function formatRequests({ rehearsed, denied, allowed, unsure }: RequestDiff): string {
  if (rehearsed === 0) return "";
  const count = denied.length + allowed.length + unsure.length;
  return [
    `\n${count} of ${rehearsed} recorded requests that rules would look at would change\n`,
    requestSection("requests newly denied", denied),
    requestSection("requests newly allowed", allowed),
    requestSection("requests of which header fields decide, which are not recorded", unsure),
  ].join("");
}

function requestSection(title: string, requests: readonly ChangedRequest[]): string {
  if (requests.length === 0) return "";
  const groups = Map.groupBy(requests, (one) => JSON.stringify([edgeName(one), one.request]));
  const rows = [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { method, path, host, before, after } = first.request;
    const request = [`${method} ${path}`, host || "-", `${before.rule} → ${after.rule}`];
    return [["", ...placeCells(group), ...request]];
  });
  const head = ["", "FROM", "TO", "REQUEST", "HOST", "RULE BEFORE → AFTER"];
  return `\n${title}\n${formatTable([head, ...rows])}`;
}

function section(title: string, edges: readonly RehearsedEdge[], nowMs: number): string {
  if (edges.length === 0) return "";
  const groups = Map.groupBy(
    edges,
    (edge) => `${edgeName(edge)} ${edge.before.rule} ${edge.after.rule}`,
  );
  const rows = [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const places = [...placeCells(group), ...seenCells(group, nowMs)];
    return [["", ...places, `${first.before.rule} → ${first.after.rule}`]];
  });
  const head = ["", "FROM", "TO", "LAST SEEN", "CONNECTIONS", "RULE BEFORE → AFTER"];
  return `\n${title}\n${formatTable([head, ...rows])}`;
}

type ToldEdge = Pick<
  RehearsedEdge,
  "client" | "server" | "protocol" | "port" | "isProven" | "lastMs" | "count"
>;

function placeCells(group: readonly ToldEdge[]): string[] {
  const [first] = group;
  if (first === undefined) return [];
  const { server, port, protocol } = first;
  const clients = new Set(group.map(({ client }) => client.address)).size;
  const from = inWords(first.client);
  return [
    clients > 1 && first.client.pod !== undefined ? `${from} (${clients} pods)` : from,
    `${inWords(server)}:${port}/${protocol.toLowerCase()}`,
  ];
}

function seenCells(group: readonly ToldEdge[], nowMs: number): string[] {
  const lastMs = Math.max(...group.map((edge) => edge.lastMs));
  const count = group.reduce((sum, edge) => sum + edge.count, 0);
  return [`${formatAge(nowMs - lastMs)} ago`, String(count)];
}

/** How many are recorded. */
function requestsCell(
  group: readonly Pick<EdgeReport["edges"][number], "requests" | "hasMoreRequests">[],
): string {
  const read = group.flatMap(({ requests }) => requests ?? []);
  if (group.every(({ requests }) => requests === undefined)) return "-";
  const count = new Set(read.map((one) => `${one.method} ${one.host} ${one.path}`)).size;
  return group.some(({ hasMoreRequests }) => hasMoreRequests) ? `${count}+` : String(count);
}

function edgeName({ client, server, protocol, port, isProven }: ToldEdge): string {
  return [inWords(client), inWords(server), protocol, port, isProven].join(" ");
}

function inWords({ address, pod, node }: RehearsedEnd): string {
  if (pod !== undefined) return workloadOf(pod);
  return node === undefined ? address : `node ${node}`;
}

function endIn(
  pods: EdgeReport["pods"],
  { address, pod, node }: EdgeReport["edges"][number]["client"],
): RehearsedEnd {
  const known = pods[pod ?? -1];
  return {
    address,
    ...(known !== undefined && { pod: known }),
    ...(node !== undefined && { node }),
  };
}
