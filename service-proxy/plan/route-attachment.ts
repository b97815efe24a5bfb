// Which routes have a say on which Service port, and for which clients (GEP-1294). Routes of the
// Service's own namespace are the producer's, for every client; routes of another namespace are a
// consumer's, for the clients of that namespace, who then see none of the producer's.

import type { GrpcRoute } from "../../lib/kube/api/grpc-route.ts";
import type { HttpRoute } from "../../lib/kube/api/http-route.ts";
import type { ParentRef } from "../../lib/kube/api/route-fields.ts";
import type { Service } from "../../lib/kube/api/service.ts";
import type { TcpRoute } from "../../lib/kube/api/tcp-route.ts";
import type { TlsRoute } from "../../lib/kube/api/tls-route.ts";
import type { UdpRoute } from "../../lib/kube/api/udp-route.ts";
import type { AcceptedReason, RouteKind } from "../model/route-status.ts";

export type AnyRoute = HttpRoute | GrpcRoute | TcpRoute | TlsRoute | UdpRoute;

/** One route on one Service port, by one of its parentRefs. */
export interface Attachment {
  readonly route: AnyRoute;
  /** Index of the parentRef. */
  readonly parent: number;
  /** `namespace/name:port` */
  readonly port: string;
  /** The namespace whose clients it is for; "" for all. */
  readonly audience: string;
  /** At least one of its rules can be honoured. */
  readonly usable: boolean;
}

export interface Refusal {
  readonly reason: Exclude<AcceptedReason, "Accepted">;
  readonly message: string;
}

/** What becomes of one Service port. */
export interface PortDecision {
  /** By audience, oldest first; all of one kind, usable or not. */
  readonly routes: ReadonlyMap<string, readonly AnyRoute[]>;
  readonly refusals: ReadonlyMap<Attachment, Refusal>;
}

/** GEP-1294: of several kinds on one port the first here has it. */
const KIND_ORDER: readonly RouteKind[] = [
  "GRPCRoute",
  "HTTPRoute",
  "TLSRoute",
  "TCPRoute",
  "UDPRoute",
];

/** What a kind of route is served over: UDPRoutes and the others never meet on a port. */
export function protocolOf(kind: RouteKind): "TCP" | "UDP" {
  return kind === "UDPRoute" ? "UDP" : "TCP";
}

export function isServiceRef({ group, kind }: ParentRef): boolean {
  return group === "" && kind === "Service";
}

/** Ports of its protocol that a route means by a Service, as `namespace/name:port`, or why none. */
export function findPorts(
  route: AnyRoute,
  ref: ParentRef,
  services: ReadonlyMap<string, Service>,
): readonly string[] | Refusal {
  const key = `${ref.namespace ?? route.namespace}/${ref.name}`;
  const service = services.get(key);
  if (service === undefined) {
    return { reason: "NoMatchingParent", message: `no Service ${key} with a cluster IP` };
  }
  const wanted = protocolOf(route.kind);
  const ports = service.ports.filter(
    ({ protocol, port, name }) =>
      protocol === wanted &&
      (ref.port === undefined || ref.port === port) &&
      (ref.sectionName === undefined || ref.sectionName === name),
  );
  if (ports.length > 0) return ports.map(({ port }) => `${key}:${port}`);
  return { reason: "NoMatchingParent", message: `Service ${key} has no such ${wanted} port` };
}

/** Oldest first, then by namespace and name: the order of the API for every tie. */
export function byAge(a: AnyRoute, b: AnyRoute): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  const [first, second] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`];
  return first < second ? -1 : first > second ? 1 : 0;
}

/** Settles one port among all who want it. A refused route leaves the others as they are. */
export function decidePort(attachments: readonly Attachment[]): PortDecision {
  const refusals = new Map<Attachment, Refusal>();
  const routes = new Map<string, readonly AnyRoute[]>();
  const byAudience = Map.groupBy(attachments, ({ audience }) => audience);
  const producers = byAudience.get("") ?? [];
  const producerKind = kindOf(producers);
  for (const [audience, wanting] of byAudience) {
    const kind = kindOf(wanting);
    const winners = new Set<AnyRoute>();
    for (const attachment of wanting) {
      const { route } = attachment;
      const refusal =
        conflict(route.kind, kind) ??
        (audience === "" ? undefined : consumerRefusal(route.kind, producerKind));
      if (refusal === undefined) winners.add(route);
      else refusals.set(attachment, refusal);
    }
    if (winners.size > 0) routes.set(audience, [...winners].sort(byAge));
  }
  return { routes, refusals };
}

/** A route of which nothing can be honoured takes no port from one that can be. */
function kindOf(attachments: readonly Attachment[]): RouteKind | undefined {
  const usable = attachments.filter((one) => one.usable);
  const kinds = (usable.length > 0 ? usable : attachments).map(({ route }) => route.kind);
  return KIND_ORDER.find((kind) => kinds.includes(kind));
}

function conflict(kind: RouteKind, winner: RouteKind | undefined): Refusal | undefined {
  if (winner === undefined || winner === kind) return undefined;
  return { reason: "Conflicted", message: `a ${winner} has this port` };
}

/**
 * How a port's bytes are read is the producer's word, or a foreign namespace could break its
 * clients; so consumers route requests where requests are read, and where nobody else routes.
 */
function consumerRefusal(kind: RouteKind, producer: RouteKind | undefined): Refusal | undefined {
  if (kind === "TCPRoute" || kind === "TLSRoute" || kind === "UDPRoute") {
    const message = `want a ${kind} in the namespace of the Service`;
    return { reason: "NotAllowedByListeners", message };
  }
  const stream = producer === "TCPRoute" || producer === "TLSRoute";
  return stream ? conflict(kind, producer) : undefined;
}
