// What `innermesh explain service` says, as data: `-o json` prints it as it is. Pure.

import type { Service, ServicePort, TrafficPolicy } from "../../lib/kube/api/service.ts";
import type { Problem } from "../../lib/kube/store.ts";
import type { Family } from "../../lib/nft/objects.ts";
import type { EndpointQuery } from "../../service-proxy/model/endpoint.ts";
import { primaryAddress } from "../../service-proxy/model/node-facts.ts";
import { familyFacts } from "../../service-proxy/plan/family-facts.ts";
import type { LaneChoice } from "../../service-proxy/plan/lane.ts";
import { IP_FAMILY } from "../../service-proxy/plan/service-plan.ts";
import { setName } from "../../service-proxy/plan/set-book.ts";
import { tableSettings } from "../../service-proxy/plan/table-settings.ts";
import type { Place } from "../../service-proxy/plan/usable-endpoints.ts";
import { type AttachedRoute, attachedRoutes } from "./attached-routes.ts";
import { type EndpointTable, endpointTable } from "./endpoint-table.ts";
import { type EntryPoint, entryPoints } from "./entry-points.ts";
import type { FlowCost } from "./flow-cost.ts";
import { laneReport } from "./lane-report.ts";
import { type PlannedNode, type PlannedService, plannedService, SetIds } from "./planned-node.ts";
import { type PodReport, podsBehind } from "./pod-report.ts";
import { type ProxyReport, ProxyView, proxyReport } from "./proxy-report.ts";

export interface ServiceReport extends LaneChoice {
  readonly service: string;
  readonly type: Service["type"];
  readonly node: string;
  readonly zone?: string;
  /** Whose set ids these are: the kernel's of this machine, or a plan's that nothing runs. */
  readonly idsFrom: "kernel" | "plan";
  readonly policies: Policies;
  /** Port of type LoadBalancer with external policy Local, and what it would answer. */
  readonly healthCheck?: { readonly port: number; readonly localReady: number };
  /** Elements held in the kernel's sets, by family. */
  readonly elements: Readonly<Partial<Record<Family, number>>>;
  /** Every route that names the Service as its parent, also those that are not in use. */
  readonly routes: readonly AttachedRoute[];
  readonly ports: readonly PortReport[];
  /** Pods behind it, with what each proves; empty where identities are off. */
  readonly pods: readonly PodReport[];
  readonly problems: readonly Problem[];
}

export interface Policies {
  readonly internal: TrafficPolicy;
  readonly external: TrafficPolicy;
  /** Seconds of ClientIP affinity; undefined for none. */
  readonly affinitySeconds?: number;
  /** Who may use load balancer VIPs; empty means everybody. */
  readonly sourceRanges: readonly string[];
}

/** One port in one family. */
export interface PortReport extends EndpointTable {
  readonly family: Family;
  readonly name: string;
  readonly port: number;
  readonly protocol: ServicePort["protocol"];
  readonly entries: readonly EntryPoint[];
  readonly sets: readonly NamedSet[];
  readonly lane: LaneChoice;
  /** What workers do with it; undefined where no worker is asked. */
  readonly proxy?: ProxyReport;
}

/** A set of the kernel lane that stands for this port. */
export interface NamedSet {
  /** As in nft; undefined while the kernel has not got it. */
  readonly id?: string;
  readonly role: string;
  /** How many endpoints it holds; of an entry point: which chain applies its policy. */
  readonly holds: string;
}

const ROLES = [
  "cluster",
  "local",
  "cluster-affinity",
  "local-affinity",
  "external",
  "balancer",
] as const;

/**
 * Explains one Service.
 * @param key `namespace/name`
 * @returns undefined when the source has no such Service that a node serves
 */
export function explainService(
  node: PlannedNode,
  cost: FlowCost,
  key: string,
): ServiceReport | undefined {
  const service = node.store.services.get(key);
  if (service === undefined) return undefined;
  const planned = plannedService(node, key);
  const { zone } = placeOf(node);
  const localReady = new Set(planned.flatMap(({ plan }) => plan.localReady));
  return {
    service: key,
    type: service.type,
    node: node.nodeName,
    ...(zone === undefined ? {} : { zone }),
    ...laneReport(node, service),
    idsFrom: node.kernel === undefined ? "plan" : "kernel",
    policies: policiesOf(service),
    ...(planned.some(({ family }) => family.healthChecked.has(key))
      ? { healthCheck: { port: service.healthCheckNodePort, localReady: localReady.size } }
      : {}),
    elements: Object.fromEntries(
      planned.map(({ family, plan }) => [family.options.family, plan.elements.length]),
    ),
    routes: attachedRoutes(node.store, key),
    ports: service.ports.flatMap((port) => planned.map((one) => portReport(node, cost, one, port))),
    pods: podsBehind(node, key),
    problems: problemsOf(node, key),
  };
}

/** What is wrong with one Service: in its object, or in what the plan made of it. */
export function problemsOf({ store, plan }: PlannedNode, key: string): readonly Problem[] {
  const subject = `Service ${key}`;
  const seen = new Set<string>();
  const all = [...[...store.problems.values()].flat(), ...plan.problems()];
  return all.filter((problem) => {
    const text = JSON.stringify(problem);
    return problem.object === subject && !seen.has(text) && seen.add(text);
  });
}

function policiesOf(service: Service): Policies {
  const { affinitySeconds } = service;
  return {
    internal: service.internalTrafficPolicy,
    external: service.externalTrafficPolicy,
    ...(affinitySeconds === undefined ? {} : { affinitySeconds }),
    sourceRanges: service.loadBalancerSourceRanges,
  };
}

function portReport(
  node: PlannedNode,
  cost: FlowCost,
  planned: PlannedService,
  port: ServicePort,
): PortReport {
  const { family } = planned.family.options;
  const ids = new SetIds(planned.plan, node.kernel?.get(family));
  const own = node.store.nodes.get(node.nodeName);
  const nodeAddress = primaryAddress(own, family, node.settings.nodeAddressOverride);
  const context = { ids, cost, ...(nodeAddress === undefined ? {} : { nodeAddress }) };
  const query = {
    portName: port.name,
    protocol: port.protocol,
    family: IP_FAMILY[family],
    nodeName: node.nodeName,
  };
  const at = { service: planned.key, port: port.port };
  const proxy =
    port.protocol === "TCP" ? proxyReport(new ProxyView(planned.family), family, at) : undefined;
  return {
    family,
    name: port.name,
    port: port.port,
    protocol: port.protocol,
    entries: entryPoints(planned, port, context),
    sets: setsOf(planned, port, ids),
    lane: node.plan.lanes.choice(planned.service, port),
    ...(proxy === undefined ? {} : { proxy }),
    ...tableOf(node, planned, port, query),
  };
}

/** With a UDPRoute the endpoints of its backends stand for the Service's own. */
function tableOf(
  node: PlannedNode,
  { key, service }: PlannedService,
  port: ServicePort,
  query: EndpointQuery,
): EndpointTable {
  const place = placeOf(node);
  const { udpShares } = node.plan.lanes.laneOf(service, port);
  if (udpShares === undefined) return endpointTable(node.store.slicesOf(key), query, place);
  const rows = udpShares.flatMap(
    (share) => endpointTable(share.slices, { ...query, portName: share.port.name }, place).rows,
  );
  const why = "by backend: hints of one narrow its own endpoints only";
  return { topology: { level: "all", why }, rows };
}

function setsOf({ key, plan }: PlannedService, port: ServicePort, ids: SetIds): NamedSet[] {
  return ROLES.flatMap((role): NamedSet[] => {
    const name = setName(key, port, role);
    const element = plan.elements.find(
      ({ set, comment }) => comment === name && (set === "esets" || set === "ext"),
    );
    if (element === undefined) return [];
    const id = ids.shown(element.key);
    const holds =
      element.set === "ext"
        ? `${element.data ?? ""} → ${leadsTo(plan.elements, element.key, ids).join(", ")}`
        : inWords(element.data ?? "", targetsOf(plan.elements, element.key));
    return [{ ...(id === undefined ? {} : { id }), role, holds }];
  });
}

/** The endpoint sets behind an external entry point. */
function leadsTo(
  elements: PlannedService["plan"]["elements"],
  key: string,
  ids: SetIds,
): readonly string[] {
  return (["cluster-of", "local-of"] as const).flatMap((map) => {
    const found = elements.find((element) => element.set === map && element.key === key);
    if (found?.data === undefined) return [];
    return [`${map === "cluster-of" ? "cluster" : "local"} ${ids.shown(found.data) ?? "?"}`];
  });
}

/** The distinct endpoints of a set without affinity; with weights some stand in it repeatedly. */
function targetsOf(elements: PlannedService["plan"]["elements"], id: string): number {
  const own = elements.filter(({ set, key }) => set === "endpoints" && key.startsWith(`${id} . `));
  return new Set(own.map(({ data }) => data)).size;
}

function inWords(verdict: string, targets: number): string {
  const [, count] = /^goto (?:mod|aff)-(\d+)$/.exec(verdict) ?? [];
  if (count !== undefined && targets > 0 && String(targets) !== count) {
    return `${targets} endpoint${targets === 1 ? "" : "s"}, by weight in ${count} positions`;
  }
  if (count !== undefined) return `${count} endpoint${count === "1" ? "" : "s"}`;
  return verdict === "drop" ? "none here, some elsewhere: drops" : "none anywhere: refuses";
}

/** Where the plan says that this node stands. */
function placeOf({ settings, nodeName, store }: PlannedNode): Place {
  const situation = {
    node: store.nodes.get(nodeName),
    hostAddresses: [],
    serviceCidrs: [],
    podCidrs: [],
    otherNodes: [],
    apiServerAddresses: [],
  };
  return familyFacts(tableSettings(settings, nodeName, []), situation, "ip").place;
}
