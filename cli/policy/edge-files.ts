// Edges that nodes recorded: from this node's process, or from files that were made of what others
// told.

import { readFileSync } from "node:fs";
import { type EdgeReport, parseEdgeReport } from "../../netpol-identity/model/edge-report.ts";
import { Unreachable, WrongUse } from "../exit.ts";
import { askNode } from "../node-connection.ts";

/** @throws Unreachable when nobody answers, or no policies are enforced there */
export async function askEdges(socket: string): Promise<EdgeReport> {
  const { report } = await askNode(socket, { verb: "edges" }, "policy");
  const edges = parseEdgeReport(report);
  if (typeof edges === "string") {
    throw new Unreachable(`The node's process tells edges that cannot be read: ${edges}`);
  }
  return edges;
}

/** @throws Unreachable, WrongUse */
export function readEdges(path: string): EdgeReport {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Unreachable(`Cannot read ${path}: ${String(error)}`);
  }
  const edges = parseEdgeReport(parseJson(text));
  if (typeof edges === "string") throw new WrongUse(`Cannot read edges from ${path}: ${edges}`);
  return edges;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
