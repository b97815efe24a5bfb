// How full the kernel's table of connections is: beyond its limit, new ones are dropped.

import { readFileSync } from "node:fs";
import type { NodeMetrics } from "../../lib/metrics/node-metrics.ts";
import type { MetricsPage } from "./metrics-server.ts";

const FOLDER = "/proc/sys/net/netfilter";

type Recorders = Pick<NodeMetrics, "conntrackEntries" | "conntrackLimit" | "page">;

/**
 * The page of metrics, with the table measured whenever somebody reads it. Both series stay 0
 * while the kernel tracks nothing.
 * @param folder where the kernel tells
 */
export function withConntrackUsage(metrics: Recorders, folder = FOLDER): MetricsPage {
  return {
    contentType: metrics.page.contentType,
    metrics: () => {
      metrics.conntrackEntries.set(readNumber(`${folder}/nf_conntrack_count`));
      metrics.conntrackLimit.set(readNumber(`${folder}/nf_conntrack_max`));
      return metrics.page.metrics();
    },
  };
}

function readNumber(path: string): number {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0;
  }
}
