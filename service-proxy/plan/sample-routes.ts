// A cluster of a few Services and whatever routes a test writes, for tests.

import assert from "node:assert/strict";
import type { JsonRecord } from "../../lib/kube/api/fields.ts";
import { parseGrpcRoute } from "../../lib/kube/api/grpc-route.ts";
import { parseHttpRoute } from "../../lib/kube/api/http-route.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { parseReferenceGrant } from "../../lib/kube/api/reference-grant.ts";
import { parseService } from "../../lib/kube/api/service.ts";
import { parseTcpRoute } from "../../lib/kube/api/tcp-route.ts";
import { parseTlsRoute } from "../../lib/kube/api/tls-route.ts";
import { parseUdpRoute } from "../../lib/kube/api/udp-route.ts";
import { type KubeObject, keyOf } from "../../lib/kube/store.ts";
import type { RouteKind } from "../model/route-status.ts";
import type { RouteTable } from "../model/route-table.ts";
import { makeRoutePlanner, type RouteSource, type RoutesPlan } from "./route-plan.ts";

/** Routes name `shop/web` by this unless they say otherwise. */
export const WEB: JsonRecord = { group: "", kind: "Service", name: "web" };

export interface SampleRoute extends JsonRecord {
  readonly kind: RouteKind | "ReferenceGrant";
  readonly name: string;
  /** @default "shop" */
  readonly namespace?: string;
  /** Seconds since 2026 began. @default 0 */
  readonly age?: number;
  readonly spec: JsonRecord;
}

/**
 * Services: shop/web with ports 80, 81 and UDP 53, shop/a, shop/b, other/c, each with port 80;
 * UDP also on shop/a:5353 and other/c:53.
 */
export function sampleSource(routes: readonly SampleRoute[]): RouteSource {
  const of = <T extends KubeObject>(
    kind: SampleRoute["kind"],
    parse: (value: unknown) => Parsed<T>,
  ): ReadonlyMap<string, T> => {
    const own = routes.filter((route) => route.kind === kind);
    return byKey(own.map((route) => parsed(parse(manifest(route)))));
  };
  const ports = [
    { name: "http", port: 80 },
    { name: "admin", port: 81 },
    { name: "dns", port: 53, protocol: "UDP" },
  ];
  const services = [
    service("shop/web", ports),
    service("shop/a", [{ port: 80 }, { name: "dns", port: 5353, protocol: "UDP" }]),
    service("shop/b", [{ port: 80, appProtocol: "kubernetes.io/h2c" }]),
    service("shop/wss", [{ port: 80, appProtocol: "kubernetes.io/wss" }]),
    service("other/c", [{ port: 80 }, { name: "dns", port: 53, protocol: "UDP" }]),
  ];
  return {
    services: byKey(services),
    httpRoutes: of("HTTPRoute", parseHttpRoute),
    grpcRoutes: of("GRPCRoute", parseGrpcRoute),
    tcpRoutes: of("TCPRoute", parseTcpRoute),
    tlsRoutes: of("TLSRoute", parseTlsRoute),
    udpRoutes: of("UDPRoute", parseUdpRoute),
    referenceGrants: of("ReferenceGrant", parseReferenceGrant),
  };
}

export function planSample(...routes: readonly SampleRoute[]): RoutesPlan {
  return makeRoutePlanner()(sampleSource(routes));
}

/** The table of `shop/web:80`. */
export function tableOf(plan: RoutesPlan, port = "shop/web:80"): RouteTable {
  const kind = plan.ports.get(port);
  assert.ok(kind?.kind === "http" && kind.routes !== undefined);
  return kind.routes;
}

/** The conditions of a route's first parent, as `Accepted=True/Accepted`. */
export function conditionsOf(plan: RoutesPlan, name: string, parent = 0): readonly string[] {
  const status = plan.statuses.find((one) => one.name === name);
  const conditions = status?.parents[parent]?.conditions ?? [];
  return conditions.map(({ type, status: state, reason }) => `${type}=${state}/${reason}`);
}

function manifest({ name, namespace = "shop", age = 0, kind, spec }: SampleRoute): JsonRecord {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1) + age * 1_000).toISOString();
  const parentRefs = kind === "ReferenceGrant" ? {} : { parentRefs: [WEB] };
  const metadata = { name, namespace, creationTimestamp, generation: 3, uid: `uid-${name}` };
  return { kind, metadata, spec: { ...parentRefs, ...spec } };
}

function service(key: string, ports: readonly JsonRecord[]): KubeObject & { kind: "Service" } {
  const [namespace, name] = key.split("/");
  return parsed(
    parseService({ metadata: { namespace, name }, spec: { clusterIP: "10.96.0.1", ports } }),
  );
}

function parsed<T>(result: Parsed<T>): T {
  assert.ok(result.kind === "ok");
  return result.object;
}

function byKey<T extends KubeObject>(objects: readonly T[]): ReadonlyMap<string, T> {
  return new Map(objects.map((object) => [keyOf(object), object]));
}
