// Answers what the CLI asks a node's process. Reads only.

import {
  type AdminAnswer,
  parseAdminRequest,
  type TapFilter,
  type TappedRequest,
  type TopEdge,
} from "../model/admin-protocol.ts";
import { EDGE_COLUMNS } from "../model/edge.ts";
import type { IdentityPart } from "../model/identity-part.ts";
import { type EdgeTotals, inFlightOf, type ProxyStats } from "./proxy-stats.ts";

/** Shows requests of every worker to `onRequest` until the returned function is called. */
export type OpenTap = (filter: TapFilter, onRequest: (tapped: TappedRequest) => void) => () => void;

export interface AdminParts {
  readonly stats: ProxyStats;
  readonly openTap: OpenTap;
  /** Asks workers for what they counted last; resolves when `stats` has it. */
  readonly refresh: () => Promise<void>;
  readonly monotonicMs: () => number;
  /** Missing where identities are off. */
  readonly identity?: Pick<IdentityPart, "describe" | "records">;
}

const NO_POLICIES = "Cannot tell: policies are not enforced here, see --network-policy";
const NO_IDENTITIES = "Cannot tell who has which identity: identities are off here, see --identity";

/**
 * Answers one line: resolves when the answer is complete, for `tap` when `signal` aborts.
 * @param send takes one answer; may drop it when the client is slow
 */
export async function handleAdmin(
  line: string,
  { stats, openTap, refresh, monotonicMs, identity }: AdminParts,
  send: (answer: AdminAnswer) => void,
  signal: AbortSignal,
): Promise<void> {
  const request = parseAdminRequest(line);
  if (typeof request === "string") return send({ kind: "error", message: request });
  switch (request.verb) {
    case "top": {
      await refresh();
      const edges = stats.edges().map(topEdge);
      const ejected = stats.ejected();
      return send({ kind: "top", atMs: monotonicMs(), columns: EDGE_COLUMNS, edges, ejected });
    }
    case "tap": {
      const close = openTap(request.filter, (tapped) => send({ kind: "request", ...tapped }));
      await aborted(signal);
      return close();
    }
    case "identity":
      if (identity === undefined) return send({ kind: "error", message: NO_IDENTITIES });
      return send({ kind: "identity", report: identity.describe(request) });
    case "edges":
    case "denials": {
      const record = identity?.records?.[request.verb];
      if (record === undefined) return send({ kind: "error", message: NO_POLICIES });
      return send({ kind: "policy", report: record() });
    }
    default:
      return request satisfies never;
  }
}

function topEdge(edge: EdgeTotals): TopEdge {
  const { layer, source, service, route, endpoint, counts } = edge;
  const latencies: number[] = [];
  edge.latencies.forEach((count, bucket) => {
    if (count > 0) latencies.push(bucket, count);
  });
  const names = { layer, source, service, route, endpoint };
  return { ...names, inFlight: inFlightOf(edge), counts: [...counts], latencies };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
