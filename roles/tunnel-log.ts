// Lines of the access log about connections whose ends have identities.

import type { TunnelRecord } from "../netpol-identity/tunnel/tunnel-telemetry.ts";
import type { Failure } from "../service-proxy/model/edge.ts";
import type { RequestRecord } from "../service-proxy/model/request-record.ts";
import { AccessLog, fileWriter } from "../service-proxy/proxy/access-log.ts";

const STANDARD_OUTPUT = 1;
const FLAGS: Readonly<Record<TunnelRecord["result"], readonly Failure[]>> = {
  ok: [],
  denied: ["denied"],
  failed: ["connect-failed"],
  cancelled: ["cancelled"],
};

/**
 * @param share of connections that are logged, 0–1
 * @param onDenied hears of all that policies denied
 */
export function makeTunnelLog(
  share: number,
  onDenied: (record: RequestRecord) => void,
): (record: TunnelRecord) => void {
  const log = new AccessLog(share, fileWriter(STANDARD_OUTPUT));
  return (record) => {
    const isLogged = log.wants(Math.random());
    const isDenied = record.result === "denied";
    if (!isLogged && !isDenied) return;
    const line = lineOf(record, Date.now());
    if (isLogged) log.add(line);
    if (isDenied) onDenied(line);
  };
}

function lineOf(record: TunnelRecord, nowMs: number): RequestRecord {
  const { side, via, result, target, rule } = record;
  const isIpv6 = target.address.includes(":");
  return {
    time: new Date(nowMs - record.durationMs).toISOString(),
    protocol: side === "server" ? "hbone" : "tcp",
    source: namespaceOf(record.source),
    client: record.client,
    service: "",
    route: "",
    endpoint: `${isIpv6 ? `[${target.address}]` : target.address}:${target.port}`,
    flags: FLAGS[result],
    attempts: result === "denied" ? 0 : 1,
    durationMs: Math.round(record.durationMs * 1_000) / 1_000,
    receivedBytes: record.sentBytes,
    sentBytes: record.receivedBytes,
    traceparent: record.traceparent,
    sourceIdentity: record.source || undefined,
    endpointIdentity: record.destination,
    carrier: via,
    rule,
  };
}

/** `spiffe://cluster.local/ns/shop/sa/web` → `shop` */
export function namespaceOf(identity: string): string {
  return /\/ns\/([^/]+)\//.exec(identity)?.[1] ?? "(unknown)";
}
