// Routes of the Gateway API whose parents are Services, as one value: what each Service port does
// with its connections, which other Service ports they need, and what each route is told.
// Gateway API 1.6.3; GEP-1324 and GEP-1294 (mesh). Start here; the parts have their own files.

import type { GrpcRoute } from "../../lib/kube/api/grpc-route.ts";
import type { HttpRoute } from "../../lib/kube/api/http-route.ts";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { BackendTarget, RuleFault } from "../../lib/kube/api/route-fields.ts";
import type { TcpRoute } from "../../lib/kube/api/tcp-route.ts";
import type { TlsRoute } from "../../lib/kube/api/tls-route.ts";
import type { UdpRoute } from "../../lib/kube/api/udp-route.ts";
import type { PortKind, WeightedGroup } from "../model/proxy-plan.ts";
import type { RouteStatus } from "../model/route-status.ts";
import { assemblePort, streamBackends } from "./route-assembly.ts";
import {
  type AnyRoute,
  type Attachment,
  decidePort,
  findPorts,
  isServiceRef,
  type Refusal,
} from "./route-attachment.ts";
import {
  type BackendSource,
  groupName,
  makeResolver,
  type RefFailure,
  type Resolved,
  type ResolveTarget,
  type RouteGroup,
} from "./route-backends.ts";
import { describeRoute, problemsOf } from "./route-conditions.ts";
import { draftRoute, type RouteDraft } from "./route-draft.ts";

/** The objects that routes are made of; a KubeStore is one. */
export interface RouteSource extends BackendSource {
  readonly httpRoutes: ReadonlyMap<string, HttpRoute>;
  readonly grpcRoutes: ReadonlyMap<string, GrpcRoute>;
  readonly tcpRoutes: ReadonlyMap<string, TcpRoute>;
  readonly tlsRoutes: ReadonlyMap<string, TlsRoute>;
  readonly udpRoutes: ReadonlyMap<string, UdpRoute>;
}

export interface RoutesPlan {
  /**
   * By Service port, `namespace/name:port`; ports without routes are missing. Groups stand under
   * the names of `groups`: `renameGroups` gives them the names of one address family.
   */
  readonly ports: ReadonlyMap<string, RoutedPort>;
  /**
   * By UDP port of a Service, `namespace/name:port`: whom its oldest UDPRoute shares it out to, by
   * names of that form too. These are not among `groups`: no worker is told of them.
   */
  readonly udp: ReadonlyMap<string, readonly WeightedGroup[]>;
  /** Each TCP port of a Service that some rule sends to, by the name that the rules use. */
  readonly groups: ReadonlyMap<string, RouteGroup>;
  /** One for each route that names a Service as its parent. */
  readonly statuses: readonly RouteStatus[];
  readonly problems: readonly Problem[];
}

/** What a port does, and the routes that say so, e.g. `HTTPRoute shop/web`. */
export type RoutedPort = PortKind & { readonly names: readonly string[] };

/**
 * Makes a planner, which remembers what it found out about a route as long as the object is the
 * same; its answers depend on its argument only.
 */
export function makeRoutePlanner(): (source: RouteSource) => RoutesPlan {
  const drafts = new WeakMap<HttpRoute | GrpcRoute, RouteDraft>();
  const draftOf = (route: HttpRoute | GrpcRoute): RouteDraft => {
    const known = drafts.get(route);
    if (known !== undefined) return known;
    const draft = draftRoute(route);
    drafts.set(route, draft);
    return draft;
  };
  return (source) => planRoutes(source, draftOf);
}

interface Parent {
  readonly index: number;
  readonly attachments: readonly Attachment[];
  readonly refusal: Refusal | undefined;
}

function planRoutes(
  source: RouteSource,
  draftOf: (route: HttpRoute | GrpcRoute) => RouteDraft,
): RoutesPlan {
  const faultsOf = (route: AnyRoute): readonly (RuleFault | undefined)[] => {
    const drafted = route.kind === "HTTPRoute" || route.kind === "GRPCRoute";
    return (drafted ? draftOf(route).rules : route.rules).map(({ fault }) => fault);
  };
  const parentsOf = new Map<AnyRoute, readonly Parent[]>();
  const byPort = new Map<string, Attachment[]>();
  const byUdpPort = new Map<string, Attachment[]>();
  for (const route of routesOf(source)) {
    const faults = faultsOf(route);
    const usable = faults.length === 0 || faults.includes(undefined);
    const parents = attach(route, usable, source);
    if (parents.length > 0) parentsOf.set(route, parents);
    for (const attachment of parents.flatMap((parent) => parent.attachments)) {
      const known = route.kind === "UDPRoute" ? byUdpPort : byPort;
      const others = known.get(attachment.port);
      if (others === undefined) known.set(attachment.port, [attachment]);
      else others.push(attachment);
    }
  }

  const backends = new BackendBook(source);
  const groupOf = backends.groupOf.bind(backends);
  const ports = new Map<string, RoutedPort>();
  const refusals = new Map<Attachment, Refusal>();
  for (const [port, attachments] of byPort) {
    const decision = decidePort(attachments);
    for (const [attachment, refusal] of decision.refusals) refusals.set(attachment, refusal);
    if (decision.routes.size === 0) continue;
    const kind = assemblePort(decision.routes, { draftOf, groupOf });
    ports.set(port, { ...kind, names: namesOf(decision.routes) });
  }
  const udp = new Map<string, readonly WeightedGroup[]>();
  const udpGroupOf = backends.udpGroupOf.bind(backends);
  for (const [port, attachments] of byUdpPort) {
    const decision = decidePort(attachments);
    for (const [attachment, refusal] of decision.refusals) refusals.set(attachment, refusal);
    const oldest = decision.routes.get("")?.find((route) => route.kind === "UDPRoute");
    if (oldest !== undefined) udp.set(port, streamBackends(oldest, udpGroupOf));
  }

  const statuses = [...parentsOf].map(([route, parents]) =>
    describeRoute({
      route,
      faults: faultsOf(route),
      refFailure: backends.failureOf(route),
      parents: parents.flatMap((parent) => {
        const ref = route.parentRefs[parent.index];
        return ref === undefined ? [] : [{ ref, refusal: refusalOf(parent, refusals) }];
      }),
    }),
  );
  return { ports, udp, groups: backends.groups, statuses, problems: statuses.flatMap(problemsOf) };
}

function namesOf(routes: ReadonlyMap<string, readonly AnyRoute[]>): readonly string[] {
  return [...routes.values()]
    .flat()
    .map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`);
}

/** Every route, parents or not, one kind after the other. */
export function* routesOf(source: RouteSource): Generator<AnyRoute> {
  yield* source.httpRoutes.values();
  yield* source.grpcRoutes.values();
  yield* source.tcpRoutes.values();
  yield* source.tlsRoutes.values();
  yield* source.udpRoutes.values();
}

/** A route's parents among the Services; those of other kinds are for others. */
function attach(route: AnyRoute, usable: boolean, { services }: RouteSource): readonly Parent[] {
  return route.parentRefs.flatMap((ref, index): readonly Parent[] => {
    if (!isServiceRef(ref)) return [];
    const found = findPorts(route, ref, services);
    if ("reason" in found) return [{ index, attachments: [], refusal: found }];
    const foreign = ref.namespace !== undefined && ref.namespace !== route.namespace;
    const audience = foreign ? route.namespace : "";
    const attachments = found.map((port) => ({ route, parent: index, port, audience, usable }));
    return [{ index, attachments, refusal: undefined }];
  });
}

/** A parent accepts a route when at least one of its ports does. */
function refusalOf(
  { attachments, refusal }: Parent,
  refusals: ReadonlyMap<Attachment, Refusal>,
): Refusal | undefined {
  if (refusal !== undefined) return refusal;
  const refused = attachments.map((attachment) => refusals.get(attachment));
  return refused.includes(undefined) ? undefined : refused[0];
}

/** The references of all routes, each looked up when it is asked for. */
class BackendBook {
  readonly groups = new Map<string, RouteGroup>();
  readonly #source: BackendSource;
  readonly #resolvers = new Map<AnyRoute, ResolveTarget>();
  /** Looked up once, although rules and statuses both ask. */
  readonly #resolved = new Map<BackendTarget, Resolved>();

  constructor(source: BackendSource) {
    this.#source = source;
  }

  groupOf(route: AnyRoute, target: BackendTarget): string | undefined {
    const resolved = this.#resolve(route, target);
    if (resolved.kind === "failure") return undefined;
    const { group } = resolved;
    const name = groupName(group);
    const http2 = group.http2 || this.groups.get(name)?.http2 === true;
    this.groups.set(name, { ...group, http2 });
    return name;
  }

  udpGroupOf(route: AnyRoute, target: BackendTarget): string | undefined {
    const resolved = this.#resolve(route, target);
    return resolved.kind === "failure" ? undefined : groupName(resolved.group);
  }

  /** The first reference of the route that leads nowhere, in the order of the object. */
  failureOf(route: AnyRoute): RefFailure | undefined {
    for (const target of targetsOf(route)) {
      const resolved = this.#resolve(route, target);
      if (resolved.kind === "failure") return resolved;
    }
    return undefined;
  }

  #resolve(route: AnyRoute, target: BackendTarget): Resolved {
    const known = this.#resolved.get(target);
    if (known !== undefined) return known;
    let resolve = this.#resolvers.get(route);
    if (resolve === undefined) {
      resolve = makeResolver(this.#source, route);
      this.#resolvers.set(route, resolve);
    }
    const resolved = resolve(target);
    this.#resolved.set(target, resolved);
    return resolved;
  }
}

function* targetsOf(route: AnyRoute): Iterable<BackendTarget> {
  if (route.kind !== "HTTPRoute" && route.kind !== "GRPCRoute") {
    for (const rule of route.rules) yield* rule.backendRefs.map(({ target }) => target);
    return;
  }
  for (const { filters, backendRefs } of route.rules) {
    const all = [...filters, ...backendRefs.flatMap((backend) => backend.filters)];
    yield* backendRefs.map(({ target }) => target);
    for (const filter of all) if (filter.kind === "mirror") yield filter.target;
  }
}
