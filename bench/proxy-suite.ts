// What all proxy suites do: start the subjects side by side on one stage, measure, report.

import type { BenchContext, BenchResult } from "../scripts/bench-report.ts";
import { startInnermesh } from "./proxy-innermesh.ts";
import { measureCases, type ProxyCase } from "./proxy-measure.ts";
import { direct, startPeers } from "./proxy-peers.ts";
import { judgeProxy, proxyRows } from "./proxy-report.ts";
import { startProxyStage } from "./proxy-stage.ts";

const NOTE = `Client, node and server are network namespaces joined by veth pairs. The proxies run
on the node, all at once, and share one processor, which each has for itself while its slice runs;
client and backends share the other. All work with one thread or worker, without access log, and
keep their connections to the backend. CPU is user and system time of all processes of a proxy,
over what was completed: that can be compared. Rates and latencies are those of a closed loop, in
which client and backend may be the limit before the proxy is; "none" is the client calling the
backend itself, and what a proxy adds to that is said where one request is under way. Cases with a
budget: the median of three rounds, in which the subjects take turns; the others ran once. Latency
is that of a request, without the connect before it.`;

/** @throws when a peer cannot be had: a comparison without its peer is no result */
export async function runProxySuite(
  cases: readonly ProxyCase[],
  context: BenchContext,
): Promise<BenchResult> {
  await using stage = await startProxyStage();
  const peers = await startPeers(stage);
  const subjects = [...peers, ...(await startInnermesh(stage)), direct(stage)];
  const measurements = await measureCases(stage, { cases, subjects }, context);
  return { rows: proxyRows(measurements), budgets: judgeProxy(measurements), notes: [NOTE] };
}
