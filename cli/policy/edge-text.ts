// Recorded edges, and what a change would do to them, as text for people: pods of one workload
// stand together.

import type { RehearsedEdge, RehearsedEnd } from "../../netpol-identity/evaluate/rehearse.ts";
import type { EdgeReport } from "../../netpol-identity/model/edge-report.ts";
import { formatAge } from "../identity/identity-text.ts";
import { formatTable } from "../output.ts";
import type { PolicyDiff } from "./policy-diff.ts";
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
  ]);
  const head = ["FROM", "TO", "PROVEN", "LAST SEEN", "CONNECTIONS"];
  return `node ${node}\n\n${formatTable([head, ...rows])}`;
}

export function formatDiff(diff: PolicyDiff, nowMs: number): string {
  const { rehearsed, denied, allowed, opened } = diff;
  const count = denied.length + allowed.length + opened.length;
  return [
    `${count} of ${rehearsed} recorded edges would change\n`,
    section("newly denied", denied, nowMs),
    section("newly allowed", allowed, nowMs),
    section("allowed for some requests only", opened, nowMs),
  ].join("");
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
