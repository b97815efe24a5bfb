// Routes whose parents and backends are Services of the packet cases, `case-1` and so on.

import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";

/** Of all those Services. */
const PORT = 80;
const GROUP = "gateway.networking.k8s.io";

export interface CaseRoute {
  /** @default "HTTPRoute" */
  readonly kind?: `${"HTTP" | "GRPC" | "TLS" | "TCP" | "UDP"}Route`;
  /** @default its Service's */
  readonly name?: string;
  readonly hostnames?: readonly string[];
  readonly rules: readonly Readonly<Record<string, unknown>>[];
}

/** @param parent number of the Service that it is a route of */
export function caseRoute(parent: number, route: CaseRoute): Manifest {
  const service = `case-${parent}`;
  const { kind = "HTTPRoute", name = service, ...spec } = route;
  return {
    apiVersion: `${GROUP}/${kind === "TCPRoute" ? "v1alpha2" : "v1"}`,
    kind,
    metadata: { namespace: "default", name },
    spec: { parentRefs: [{ group: "", kind: "Service", name: service, port: PORT }], ...spec },
  };
}

/** A backendRef. */
export function caseBackend(service: number, weight = 1) {
  return { name: `case-${service}`, port: PORT, weight };
}
