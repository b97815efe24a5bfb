// Where the references of routes lead: to a port of a Service, or nowhere and why.

import type { ReferenceGrant } from "../../lib/kube/api/reference-grant.ts";
import type { BackendTarget, RouteIdentity } from "../../lib/kube/api/route-fields.ts";
import { GATEWAY_GROUP } from "../../lib/kube/api/route-fields.ts";
import type { Service } from "../../lib/kube/api/service.ts";
import type { ResolvedRefsReason, RouteKind } from "../model/route-status.ts";
import { protocolOf } from "./route-attachment.ts";

/** A Service port that routes send traffic to. */
export interface RouteGroup {
  /** `namespace/name` */
  readonly service: string;
  readonly port: number;
  /** Requests go to it as HTTP/2: gRPC, or its appProtocol says so. */
  readonly http2: boolean;
}

export interface RefFailure {
  readonly reason: Exclude<ResolvedRefsReason, "ResolvedRefs">;
  readonly message: string;
}

export type Resolved =
  | { readonly kind: "group"; readonly group: RouteGroup }
  | ({
      readonly kind: "failure";
    } & RefFailure);

/** What references are looked up in. */
export interface BackendSource {
  readonly services: ReadonlyMap<string, Service>;
  readonly referenceGrants: ReadonlyMap<string, ReferenceGrant>;
}

export type ResolveTarget = (target: BackendTarget) => Resolved;

const H2C = "kubernetes.io/h2c";

type Referrer = RouteIdentity & { readonly kind: RouteKind };

/**
 * Looks up the references of one route. References into other namespaces need a ReferenceGrant,
 * except to the route's own parents: their clients could call them anyway. GEP-1294 lets a mesh do
 * without grants altogether unless routes reach further than clients; ours may, because some
 * connections to backends come from the node's address, which network policies cannot tell apart.
 */
export function makeResolver(source: BackendSource, route: Referrer): ResolveTarget {
  const parents = new Set(
    route.parentRefs.map(({ namespace, name }) => `${namespace ?? route.namespace}/${name}`),
  );
  return (target) => {
    const { group, kind, namespace, name, port } = target;
    if (group !== "" || kind !== "Service") {
      return failure("InvalidKind", `want a Service: got ${kind} of group "${group}"`);
    }
    const key = `${namespace}/${name}`;
    const foreign = namespace !== route.namespace && !parents.has(key);
    if (foreign && !isGranted(source, route, target)) {
      return failure("RefNotPermitted", `want a ReferenceGrant in ${namespace} for Service ${key}`);
    }
    const service = source.services.get(key);
    if (service === undefined) {
      return failure("BackendNotFound", `no Service ${key} with a cluster IP`);
    }
    const protocol = protocolOf(route.kind);
    const found = service.ports.find((one) => one.port === port && one.protocol === protocol);
    if (port === undefined) return failure("BackendNotFound", `want a port of Service ${key}`);
    if (found === undefined) {
      return failure("BackendNotFound", `Service ${key} has no ${protocol} port ${port}`);
    }
    const http2 = speaksHttp2(route.kind, found.appProtocol);
    if (http2 !== undefined) return { kind: "group", group: { service: key, port, http2 } };
    const spoken = `Service ${key} port ${port} speaks ${found.appProtocol}`;
    return failure("UnsupportedProtocol", `${spoken}: not for a ${route.kind}`);
  };
}

/** The name that tables use for a group: `shop/web:80`. */
export function groupName({ service, port }: RouteGroup): string {
  return `${service}:${port}`;
}

function failure(reason: RefFailure["reason"], message: string): Resolved {
  return { kind: "failure", reason, message };
}

/**
 * Undefined where the route cannot be served over what the port speaks: the standard application
 * protocols of KEP-3726; others are the user's own words.
 */
function speaksHttp2(kind: RouteKind, appProtocol: string | undefined): boolean | undefined {
  if (kind === "UDPRoute") return false;
  if (kind === "TCPRoute" || kind === "TLSRoute") return appProtocol === H2C;
  // WebSocket over TLS: requests would arrive in the clear.
  if (appProtocol === "kubernetes.io/wss") return undefined;
  if (kind === "GRPCRoute") return appProtocol === "kubernetes.io/ws" ? undefined : true;
  return appProtocol === H2C;
}

function isGranted(
  { referenceGrants }: BackendSource,
  route: Referrer,
  target: BackendTarget,
): boolean {
  for (const grant of referenceGrants.values()) {
    if (grant.namespace !== target.namespace) continue;
    const from = grant.from.some(
      ({ group, kind, namespace }) =>
        group === GATEWAY_GROUP && kind === route.kind && namespace === route.namespace,
    );
    const to = grant.to.some(
      ({ group, kind, name }) =>
        group === "" && kind === "Service" && (name === undefined || name === target.name),
    );
    if (from && to) return true;
  }
  return false;
}
