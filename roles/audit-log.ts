// Lines of the access log about connections of which a policy wants to be told.

import type { PolicyAudit } from "../netpol-identity/proxy/policy-judge.ts";
import { AccessLog, fileWriter } from "../service-proxy/proxy/access-log.ts";
import { endpointKey } from "../service-proxy/proxy/picker-endpoint.ts";
import { namespaceOf } from "./tunnel-log.ts";

const STANDARD_OUTPUT = 1;

/** All of them, whatever share of requests is logged. */
export function makeAuditLog(): (audit: PolicyAudit) => void {
  const log = new AccessLog(1, fileWriter(STANDARD_OUTPUT));
  return ({ rule, flow: { source, client, destination, target } }) =>
    log.add({
      time: new Date().toISOString(),
      protocol: "tcp",
      source: namespaceOf(source ?? ""),
      client,
      service: "",
      route: "",
      endpoint: endpointKey({ ...target, local: true }),
      flags: [],
      attempts: 0,
      durationMs: 0,
      receivedBytes: 0,
      sentBytes: 0,
      sourceIdentity: source ?? undefined,
      endpointIdentity: destination ?? undefined,
      rule,
    });
}
