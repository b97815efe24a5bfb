// What a worker's records say of denials, as policies are told of them.

import type { WorkerDenial } from "../netpol-identity/model/denial-report.ts";
import type { RequestRecord } from "../service-proxy/model/request-record.ts";
import { clean } from "../service-proxy/proxy/access-log-record.ts";

/** Undefined where another node denied it, which tells of it itself, or nobody did. */
export function workerDenial(record: RequestRecord): Omit<WorkerDenial, "times"> | undefined {
  const { client, endpoint, service, flags, rule, method, path } = clean(record);
  if (rule === undefined || !flags.includes("denied")) return undefined;
  return {
    client,
    ...(endpoint !== "" && { endpoint: readEndpoint(endpoint) }),
    ...(service !== "" && { service }),
    rule,
    ...(method !== undefined && { method }),
    ...(path !== undefined && { path }),
  };
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
export function readEndpoint(text: string): NonNullable<WorkerDenial["endpoint"]> {
  const end = text.lastIndexOf(":");
  return {
    address: text.slice(0, end).replace(/^\[|\]$/g, ""),
    port: Number(text.slice(end + 1)),
  };
}
