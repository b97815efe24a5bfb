// The lane of every Service port, from labels, routes and the node's mode, and which Services must
// be planned again when one of these changes. A value holder: no I/O, no clock.

import type { Protocol, Service, ServicePort } from "../../lib/kube/api/service.ts";
import type { KubeStore, Problem, StoreChanges } from "../../lib/kube/store.ts";
import type { LaneGate } from "../model/lane-gate.ts";
import { isUnknownLane, LANE_LABEL, type LaneChoice, laneOf, type ProxyMode } from "./lane.ts";
import {
  annotationProblems,
  KERNEL_LANE,
  type PortLane,
  type RoutedBackend,
} from "./proxy-port-plan.ts";
import { groupsOf } from "./route-groups.ts";
import type { PortKind } from "../model/proxy-plan.ts";
import { makeRoutePlanner, type RouteSource, type RoutesPlan, routesOf } from "./route-plan.ts";
import type { UdpShare } from "./udp-shares.ts";

/** What lanes depend on; a KubeStore is one. */
export type LaneSource = RouteSource & Pick<KubeStore, "namespaces" | "slicesOf">;

const NO_ROUTES: RoutesPlan = {
  ports: new Map(),
  udp: new Map(),
  groups: new Map(),
  statuses: [],
  problems: [],
};

/** What decides lanes beside objects. */
export interface LaneSettings {
  readonly proxyMode: ProxyMode;
  /**
   * Whether a pod of this node that has an identity may call an endpoint of this Service that has
   * one. Whoever answers differently from now on marks the Service as changed.
   * @default never
   */
  readonly hasIdentities?: (service: string) => boolean;
  /** Asks about the endpoints that routes lead to. */
  readonly gate?: LaneGate;
}

export class LaneBook {
  readonly #settings: LaneSettings;
  readonly #planRoutes = makeRoutePlanner();
  /** What labels and annotations say wrongly, by Service. */
  readonly #troubled = new Map<string, readonly Problem[]>();
  #routes = NO_ROUTES;
  /** By port, what its Service's plan was made from. */
  #facts = new Map<string, string>();
  #labels = new Map<string, string>();
  /** By Service: those whose plans are made from its endpoints, for routes of theirs lead to it. */
  #parents = new Map<string, Set<string>>();
  #source: LaneSource | undefined;

  constructor(settings: LaneSettings) {
    this.#settings = settings;
  }

  /**
   * Looks at what changed. The source is asked again when shares of a UDPRoute are wanted.
   * @param changes undefined at first
   * @returns keys of the Services whose lanes may differ
   */
  update(source: LaneSource, changes?: StoreChanges): Iterable<string> {
    this.#source = source;
    const again = new Set<string>();
    for (const key of changes?.services ?? source.services.keys()) {
      this.#judge(key, source.services.get(key));
    }
    if (changes === undefined || changes.namespaces) this.#readLabels(source, again);
    // Also where no route has found its parents yet: one may have come.
    const isRouted = hasRoutes(source);
    if (changes === undefined || changes.routes || (isRouted && changes.serviceEvents > 0)) {
      this.#readRoutes(source, again);
    }
    for (const key of changes?.services ?? []) {
      for (const parent of this.#parents.get(key) ?? []) again.add(parent);
    }
    return again;
  }

  /** The lane of a port, and why. */
  choice(service: Service, port: ServicePort): LaneChoice {
    const name = nameOf(service, port);
    const { proxyMode, hasIdentities } = this.#settings;
    return laneOf({
      protocol: port.protocol,
      proxyMode,
      hasIdentities: hasIdentities?.(`${service.namespace}/${service.name}`) ?? false,
      serviceLabel: service.labels[LANE_LABEL],
      namespaceLabel: this.#labels.get(service.namespace),
      routes: this.#routes.ports.get(name),
      hasUdpRoute: this.#routes.udp.has(name),
    });
  }

  readonly laneOf = (service: Service, port: ServicePort): PortLane => {
    const name = nameOf(service, port);
    if (port.protocol === "UDP") {
      const udpShares = this.#udpShares(name);
      return { ...KERNEL_LANE, ...(udpShares === undefined ? {} : { udpShares }) };
    }
    const routes = this.#routes.ports.get(name);
    const group = this.#routes.groups.get(name);
    return {
      lane: this.choice(service, port).lane,
      ...(routes === undefined ? {} : { routes, ...this.#routed(routes) }),
      isBackend: group !== undefined,
      speaksHttp2: group?.http2 ?? port.appProtocol === H2C,
    };
  };

  problems(): Problem[] {
    return [...this.#routes.problems, ...[...this.#troubled.values()].flat()];
  }

  #udpShares(name: string): readonly UdpShare[] | undefined {
    return this.#routes.udp.get(name)?.flatMap(({ weight, group }): readonly UdpShare[] => {
      const backend = group === undefined ? undefined : this.#backend(group, "UDP");
      return backend === undefined ? [] : [{ weight, ...backend }];
    });
  }

  #routed(routes: PortKind): Pick<PortLane, "backends"> {
    const isOwn = routes.kind === "tcp" && routes.backends.length === 0;
    if (this.#settings.gate === undefined || isOwn) return {};
    return {
      backends: [...groupsOf(routes)].flatMap((group) => this.#backend(group, "TCP") ?? []),
    };
  }

  #backend(group: string, protocol: Protocol): RoutedBackend | undefined {
    const source = this.#source;
    const key = serviceOf(group);
    const port = source?.services
      .get(key)
      ?.ports.find((one) => one.protocol === protocol && group === `${key}:${one.port}`);
    return source && port && { port, slices: source.slicesOf(key) };
  }

  #judge(key: string, service: Service | undefined): void {
    const problems =
      service === undefined ? [] : [...labelProblems(service), ...annotationProblems(service)];
    if (problems.length === 0) this.#troubled.delete(key);
    else this.#troubled.set(key, problems);
  }

  #readLabels({ namespaces, services }: LaneSource, again: Set<string>): void {
    const labels = new Map<string, string>();
    for (const [name, namespace] of namespaces) {
      const label = namespace.labels[LANE_LABEL];
      if (label !== undefined) labels.set(name, label);
    }
    const moved = new Set<string>();
    for (const name of new Set([...labels.keys(), ...this.#labels.keys()])) {
      if (labels.get(name) !== this.#labels.get(name)) moved.add(name);
    }
    this.#labels = labels;
    if (moved.size === 0) return;
    for (const [key, { namespace }] of services) if (moved.has(namespace)) again.add(key);
  }

  #readRoutes(source: LaneSource, again: Set<string>): void {
    this.#routes = this.#planRoutes(source);
    const facts = new Map<string, string>();
    const { ports, udp, groups } = this.#routes;
    for (const [name, kind] of ports) facts.set(name, JSON.stringify(kind));
    for (const [name, group] of groups) {
      facts.set(name, `${facts.get(name) ?? ""} ${JSON.stringify(group)}`);
    }
    const parents = new Map<string, Set<string>>();
    const lead = (name: string, group: string): void => {
      const key = serviceOf(group);
      parents.set(key, (parents.get(key) ?? new Set()).add(serviceOf(name)));
    };
    for (const [name, backends] of udp) {
      facts.set(`${name}/udp`, JSON.stringify(backends));
      for (const { group } of backends) if (group !== undefined) lead(name, group);
    }
    if (this.#settings.gate !== undefined) {
      for (const [name, kind] of ports) for (const group of groupsOf(kind)) lead(name, group);
    }
    this.#parents = parents;
    for (const name of new Set([...facts.keys(), ...this.#facts.keys()])) {
      if (facts.get(name) !== this.#facts.get(name)) again.add(serviceOf(name));
    }
    this.#facts = facts;
  }
}

const H2C = "kubernetes.io/h2c";

function hasRoutes(source: LaneSource): boolean {
  return !routesOf(source).next().done;
}

function labelProblems({ namespace, name, labels }: Service): readonly Problem[] {
  const label = labels[LANE_LABEL];
  if (!isUnknownLane(label)) return [];
  return [
    {
      object: `Service ${namespace}/${name}`,
      field: `metadata.labels["${LANE_LABEL}"]`,
      message: `"${label}" is no lane; use auto, kernel, l4 or l7`,
    },
  ];
}

/** The Service in the name of a Service port. */
function serviceOf(name: string): string {
  return name.slice(0, name.indexOf(":"));
}

/** As routes name a Service port. */
function nameOf({ namespace, name }: Service, { port }: ServicePort): string {
  return `${namespace}/${name}:${port}`;
}
