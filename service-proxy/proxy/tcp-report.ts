// Tells of an L4 connection that policies refused or ended; of others counts tell enough.

import type { StreamProof } from "../../lib/reactor/byte-stream.ts";
import type { RequestRecord } from "../model/request-record.ts";
import type { Client } from "./client.ts";
import type { RelayParts } from "./relay-parts.ts";

export interface DeniedConnection {
  readonly service: string;
  readonly route: string;
  /** Empty where none was chosen. */
  readonly endpoint: string;
  /** Undefined where the endpoint's node refused. */
  readonly rule: string | undefined;
  readonly proof: StreamProof | undefined;
  readonly durationMs: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export function reportDenied(
  {
    accessLog,
    onDenied,
    random,
    wallMs,
  }: Pick<RelayParts, "accessLog" | "onDenied" | "random" | "wallMs">,
  client: Client,
  { proof, durationMs, endpoint, ...told }: DeniedConnection,
): void {
  const record: RequestRecord = {
    time: new Date(wallMs() - durationMs).toISOString(),
    protocol: "tcp",
    source: client.source,
    client: client.address,
    endpoint,
    flags: ["denied"],
    attempts: endpoint === "" ? 0 : 1,
    durationMs: Math.round(durationMs * 1_000) / 1_000,
    sourceIdentity: proof?.source,
    endpointIdentity: proof?.endpoint,
    carrier: proof?.carrier,
    ...told,
  };
  onDenied(record);
  if (accessLog.wants(random())) accessLog.add(record);
}
