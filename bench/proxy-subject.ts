// What stands between client and backend: which Services it leads to, and which process does it.

import type { Target } from "./rig.ts";

/** What the backends offer. `tcp` is the HTTP/1.1 backend behind a subject that must not look. */
export const PROXY_SERVICES = ["http", "websocket", "http2", "grpc", "tcp"] as const;
export type ProxyService = (typeof PROXY_SERVICES)[number];

/** Without TLS: both sides know beforehand. */
export function isHttp2(service: ProxyService): boolean {
  return service === "http2" || service === "grpc";
}

export interface ProxySubject {
  /** As budgets name it. */
  readonly key: "none" | "haproxy" | "nginx" | "envoy" | "innermesh-l4" | "innermesh-l7";
  /** With its version. */
  readonly subject: string;
  /** The process whose tree does the work; undefined when nothing does. */
  readonly pid: number | undefined;
  /** Where clients of a Service call; undefined when the subject is not for it. */
  readonly target: (service: ProxyService) => Target | undefined;
}

/** Where a peer listens for a Service, and what is behind it. */
export interface PeerRoute {
  readonly service: ProxyService;
  readonly listen: Target;
  readonly backend: Target;
}
