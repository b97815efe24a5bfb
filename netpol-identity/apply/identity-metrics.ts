// Puts identities and tunnels on the page that Prometheus reads, when it reads it.

import type { Registry } from "@prometheus-io/client";
import { collectCounter, collectGauge, type Sample } from "../../lib/metrics/collected-series.ts";
import { identitySeries as series } from "../../lib/metrics/identity-series.ts";
import { makeCounter, makeHistogram } from "../../lib/metrics/recorder.ts";
import type { KeyEvent } from "./key-keeper.ts";
import type { NodeIdentity } from "./node-identity.ts";
import type { TunnelStats } from "./tunnel-stats.ts";

const SIDES = ["client", "server"] as const;

/**
 * @param page the registry of the node's process, without these series
 * @returns whom to tell of keys
 */
export function exposeIdentity(
  page: Registry,
  state: () => NodeIdentity["state"] | undefined,
  stats: TunnelStats,
): (event: KeyEvent) => void {
  collectGauge(page, series.certificateExpiry, () =>
    (state()?.keys ?? []).map(({ identity, certificate }) => ({
      labels: { identity },
      value: (certificate?.notAfterMs ?? 0) / 1_000,
    })),
  );
  collectGauge(page, series.workloads, () => {
    const modes = [...(state()?.workloads.values() ?? [])].map(({ mode }) => mode);
    return (["permissive", "strict"] as const).map((mode) => ({
      labels: { mode },
      value: modes.filter((one) => one === mode).length,
    }));
  });
  collectGauge(page, series.peers, () => [{ labels: {}, value: state()?.peers.size ?? 0 }]);
  collectGauge(page, series.problems, () => {
    const now = state();
    const value = (now?.problems.length ?? 0) + (now?.kernel.problems.length ?? 0);
    return [{ labels: {}, value }];
  });
  collectCounter(page, series.dropped, () => {
    const { spoofed = 0, closed = 0 } = state()?.dropped ?? {};
    return [
      { labels: { reason: "spoofed" }, value: spoofed },
      { labels: { reason: "closed" }, value: closed },
    ];
  });
  collectCounter(page, series.handshakes, () => bySideAndResult(stats.handshakes));
  collectCounter(page, series.connections, () => bySideAndResult(stats.connections));
  for (const what of ["sessions", "streams"] as const) {
    collectGauge(page, series[what], () =>
      SIDES.map((side) => ({ labels: { side }, value: stats.open(side, what) })),
    );
  }
  for (const what of ["receivedBytes", "sentBytes"] as const) {
    collectCounter(page, series[what], () =>
      SIDES.map((side) => ({ labels: { side }, value: stats.bytes[what].get(side) ?? 0 })),
    );
  }
  return recordKeys(page);
}

function recordKeys(page: Registry): (event: KeyEvent) => void {
  const requests = makeCounter(page, series.certificates);
  const duration = makeHistogram(page, series.certificateDuration);
  return (event) => {
    if (event.kind !== "issued") return requests.add(1, { result: event.kind });
    requests.add(1, { result: event.isRenewal ? "renewed" : "issued" });
    duration.observe(event.durationMs / 1_000);
  };
}

function bySideAndResult(counts: ReadonlyMap<string, number>): Sample<"side" | "result">[] {
  return [...counts].map(([key, value]) => {
    const [side = "", result = ""] = key.split(" ");
    return { labels: { side, result }, value };
  });
}
