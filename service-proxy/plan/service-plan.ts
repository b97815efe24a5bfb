// One Service in one address family → the elements it owns in the shared maps. Pure but for the
// SetBook, which remembers ids and positions.

import { familyOf } from "../../lib/ip/address.ts";
import { type Cidr, cidrContains, hostCidr, mergeCidrs } from "../../lib/ip/cidr.ts";
import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { IpFamily, Service, ServicePort } from "../../lib/kube/api/service.ts";
import type { Problem } from "../../lib/kube/store.ts";
import type { Element, Family } from "../../lib/nft/objects.ts";
import { formatPriority } from "../../lib/nft/priority.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { GateQuestion, LaneGate } from "../model/lane-gate.ts";
import type { ProxyFrontend, ProxyGroup, ProxyPort } from "../model/proxy-plan.ts";
import type { UdpServicePort } from "../model/udp-targets.ts";
import { gateElements, gateQuestion, reachable } from "./lane-gate-plan.ts";
import { portEndpoints } from "./port-endpoints.ts";
import { NO_PROXY_PARTS, type ProxyParts } from "./proxy-ledger.ts";
import {
  type EntryPoint,
  type Masquerade,
  type PortLane,
  ProxyPortPlan,
} from "./proxy-port-plan.ts";
import { type SetBook, setName } from "./set-book.ts";
import type { Place, UsableEndpoints, UsableTargets } from "./usable-endpoints.ts";

/** An element and the set it belongs to. */
export interface PlannedElement extends Element {
  readonly set: string;
}

export interface ServicePlan {
  readonly elements: readonly PlannedElement[];
  /** Names held in the SetBook. */
  readonly setNames: readonly string[];
  /** Endpoint counts that need a `mod-N` chain. */
  readonly counts: readonly number[];
  /** Endpoint counts that need an `aff-N` chain. */
  readonly affinityCounts: readonly number[];
  /** Affinity timeout that needs an `aff-use-T` chain. */
  readonly affinitySeconds?: number;
  /** What proxy workers are told. */
  readonly proxy: ProxyParts;
  /** What conntrack clean-up must know. */
  readonly udp: readonly UdpServicePort[];
  /** Distinct addresses of local ready endpoints; what healthCheckNodePort counts. */
  readonly localReady: readonly string[];
  /** Ports whose Local policy has endpoints elsewhere only; by policy, for the metric. */
  readonly noLocalInternal: number;
  readonly noLocalExternal: number;
  readonly problems: readonly Problem[];
}

export interface ServiceContext {
  readonly family: Family;
  readonly place: Place;
  /** This node's address in the family, for source ranges; undefined when unknown. */
  readonly nodeAddress?: string;
  /** Why an address may not be an external VIP, or undefined when it may (see vip-guard). */
  readonly refuseVip: (address: string) => string | undefined;
  readonly masquerade: Masquerade;
  readonly laneOf: (service: Service, port: ServicePort) => PortLane;
  /** Who may connect where a lane serves. @default everybody */
  readonly gate?: LaneGate;
}

export const IP_FAMILY: Readonly<Record<Family, IpFamily>> = { ip: "IPv4", ip6: "IPv6" };

/**
 * Plans one Service.
 * @param slices all slices of the Service, both families
 * @returns the elements in no order that matters; problems name the Service and the field
 */
export function planService(
  service: Service,
  slices: ReadonlyMap<string, EndpointSlice>,
  context: ServiceContext,
  book: SetBook,
): ServicePlan {
  return new Builder(service, slices, context, book).build();
}

interface PlannedEntry extends EntryPoint {
  /** The id it has in the kernel's maps. */
  readonly id: number;
}

interface GrowingParts {
  readonly frontends: Map<string, ProxyFrontend>;
  readonly ports: Map<string, ProxyPort>;
  readonly groups: Map<string, ProxyGroup>;
}

/** A growing ServicePlan. */
class Builder {
  readonly #service: Service;
  readonly #key: string;
  readonly #slices: ReadonlyMap<string, EndpointSlice>;
  readonly #context: ServiceContext;
  readonly #book: SetBook;
  readonly #elements: PlannedElement[] = [];
  readonly #setNames: string[] = [];
  readonly #counts = new Set<number>();
  readonly #affinityCounts = new Set<number>();
  readonly #udp: UdpServicePort[] = [];
  readonly #localReady = new Set<string>();
  readonly #hairpins = new Set<string>();
  /** Entry points with source ranges. */
  readonly #ranged = new Set<number>();
  /** … that a lane serves. */
  readonly #laneRanged = new Set<string>();
  /** About entry points that a lane serves, by id. */
  readonly #gated = new Map<string, GateQuestion>();
  readonly #problems: Problem[] = [];
  #proxy: GrowingParts | undefined;
  #noLocalInternal = 0;
  #noLocalExternal = 0;

  constructor(
    service: Service,
    slices: ReadonlyMap<string, EndpointSlice>,
    context: ServiceContext,
    book: SetBook,
  ) {
    this.#service = service;
    this.#key = `${service.namespace}/${service.name}`;
    this.#slices = slices;
    this.#context = context;
    this.#book = book;
  }

  build(): ServicePlan {
    const seconds = this.#service.affinitySeconds;
    const clusterIp = this.#ofFamily(this.#service.clusterIPs)[0];
    const externalIps = this.#externalVips("spec.externalIPs", this.#service.externalIPs);
    const balancerIps = this.#externalVips(
      "status.loadBalancer.ingress",
      this.#service.loadBalancerVips,
    );
    if (clusterIp !== undefined) this.#add("cluster-ips", clusterIp);
    for (const port of this.#service.ports) {
      this.#port(port, clusterIp, externalIps, balancerIps);
    }
    for (const id of this.#laneRanged) this.#add("lane-ranged", id);
    const { gate, family } = this.#context;
    if (gate !== undefined) {
      this.#elements.push(...gateElements(gate, this.#key, family, this.#gated));
    }
    for (const address of this.#hairpins) this.#add("hairpin", `${address} . ${address}`);
    return {
      elements: kept(this.#elements),
      setNames: kept(this.#setNames),
      counts: kept([...this.#counts]),
      affinityCounts: kept([...this.#affinityCounts]),
      ...(seconds === undefined || this.#affinityCounts.size === 0
        ? {}
        : { affinitySeconds: seconds }),
      proxy: this.#proxy ?? NO_PROXY_PARTS,
      udp: kept(this.#udp),
      localReady: kept([...this.#localReady]),
      noLocalInternal: this.#noLocalInternal,
      noLocalExternal: this.#noLocalExternal,
      problems: kept(this.#problems),
    };
  }

  #port(
    port: ServicePort,
    clusterIp: string | undefined,
    externalIps: readonly string[],
    balancerIps: readonly string[],
  ): void {
    const hasNodePort = clusterIp !== undefined && port.nodePort !== 0;
    const external = hasNodePort || externalIps.length > 0 || balancerIps.length > 0;
    if (clusterIp === undefined && !external) return;
    const { family, laneOf, place } = this.#context;
    const shares = port.protocol === "UDP" ? laneOf(this.#service, port).udpShares : undefined;
    const from = { port, slices: this.#slices };
    const { endpoints, usable, own } = portEndpoints(from, shares, {
      family: IP_FAMILY[family],
      place,
    });
    this.#note(endpoints);
    const protocol = port.protocol.toLowerCase();
    const addresses: string[] = [];
    const entries: PlannedEntry[] = [];
    const vip = (address: string, id: number, kind: EntryPoint["kind"]): void => {
      this.#add("vips", `${address} . ${protocol} . ${port.port}`, formatPriority(id));
      addresses.push(address);
      entries.push({ address, port: port.port, kind, id });
    };
    if (clusterIp !== undefined) vip(clusterIp, this.#internalSet(port, usable), "internal");
    if (hasNodePort || externalIps.length > 0) {
      const id = this.#externalId(port, usable, "external");
      for (const address of externalIps) vip(address, id, "external");
      if (hasNodePort) {
        this.#add("nodeports", `${protocol} . ${port.nodePort}`, formatPriority(id));
        entries.push({ port: port.nodePort, kind: "external", id });
      }
    }
    if (balancerIps.length > 0) this.#balancer(port, usable, balancerIps, vip);
    if (port.protocol === "UDP") {
      const nodePort = hasNodePort ? port.nodePort : 0;
      this.#udp.push({ port: port.port, addresses, nodePort, endpoints });
    }
    if (port.protocol === "TCP") this.#lanes(port, own, entries);
  }

  /** What proxy lanes add: where the kernel brings connections to workers, and what they do. */
  #lanes(port: ServicePort, usable: UsableEndpoints, entries: readonly PlannedEntry[]): void {
    const lane = this.#context.laneOf(this.#service, port);
    if (lane.lane === "kernel" && !lane.isBackend) return;
    const family = IP_FAMILY[this.#context.family];
    const { masquerade } = this.#context;
    const plan = new ProxyPortPlan(this.#service, port, { family, usable, lane, masquerade });
    const proxy = (this.#proxy ??= { frontends: new Map(), ports: new Map(), groups: new Map() });
    if (lane.lane !== "kernel") {
      proxy.ports.set(plan.key, plan.port());
      const { place } = this.#context;
      const routed = lane.backends?.flatMap((backend) =>
        reachable(portEndpoints(backend, undefined, { family, place }).own),
      );
      for (const entry of entries) {
        const frontend = plan.frontend(entry);
        if (frontend === undefined) continue;
        proxy.frontends.set(`${entry.address ?? family} ${entry.port}`, frontend);
        const id = formatPriority(entry.id);
        if (entry.address === undefined) this.#add("lane-nodeports", `tcp . ${entry.port}`, id);
        else this.#add("lane-vips", `${entry.address} . tcp . ${entry.port}`, id);
        if (this.#ranged.has(entry.id)) this.#laneRanged.add(id);
        this.#gated.set(id, gateQuestion(entry, frontend, plan.groups, routed));
      }
    }
    for (const [key, group] of plan.groups) proxy.groups.set(key, group);
  }

  #balancer(
    port: ServicePort,
    usable: UsableTargets,
    addresses: readonly string[],
    vip: (address: string, id: number, kind: EntryPoint["kind"]) => void,
  ): void {
    const ranges = this.#sourceRanges(addresses);
    const id = this.#externalId(port, usable, ranges === undefined ? "external" : "balancer");
    for (const range of ranges ?? []) this.#add("lb-allow", `${formatPriority(id)} . ${range}`);
    if (ranges !== undefined) this.#ranged.add(id);
    for (const address of addresses) vip(address, id, "external");
  }

  /** The set behind the ClusterIP. */
  #internalSet(port: ServicePort, usable: UsableTargets): number {
    if (this.#service.internalTrafficPolicy === "Cluster") return this.#clusterSet(port, usable);
    if (usable.local.length === 0 && usable.anywhere) this.#noLocalInternal++;
    return this.#localSet(port, usable);
  }

  #clusterSet(port: ServicePort, usable: UsableTargets): number {
    return this.#endpointSet(port, "cluster", usable.cluster, "goto refuse");
  }

  #localSet(port: ServicePort, usable: UsableTargets): number {
    const empty = usable.anywhere ? "drop" : "goto refuse";
    return this.#endpointSet(port, "local", usable.local, empty);
  }

  /** The id of an external entry point: NodePort and externalIPs share one, as do open VIPs. */
  #externalId(port: ServicePort, usable: UsableTargets, role: "external" | "balancer"): number {
    const name = setName(this.#key, port, role);
    const id = this.#book.idOf(name);
    if (this.#setNames.includes(name)) return id;
    this.#setNames.push(name);
    const local = this.#service.externalTrafficPolicy === "Local" && usable.anywhere;
    const chain = `${role === "balancer" ? "lb" : "etp"}-${local ? "local" : "cluster"}`;
    const key = formatPriority(id);
    this.#add("ext", key, `jump ${chain}`, name);
    this.#add("cluster-of", key, formatPriority(this.#clusterSet(port, usable)));
    if (local) {
      if (usable.local.length === 0) this.#noLocalExternal++;
      this.#add("local-of", key, formatPriority(this.#localSet(port, usable)));
    }
    return id;
  }

  #endpointSet(
    port: ServicePort,
    role: "cluster" | "local",
    endpoints: readonly Endpoint[],
    empty: string,
  ): number {
    const targets = endpoints.map((e) => `${e.address} . ${e.port}`);
    const wanted = this.#service.affinitySeconds;
    const sticky = setName(this.#key, port, `${role}-affinity`);
    const stickySet = wanted === undefined ? undefined : this.#book.placeSticky(sticky, targets);
    if (wanted !== undefined && stickySet === undefined) this.#noRoom(port);
    const seconds = stickySet === undefined ? undefined : wanted;
    const name = stickySet === undefined ? setName(this.#key, port, role) : sticky;
    const set = stickySet ?? this.#book.placePlain(name, targets);
    if (this.#setNames.includes(name)) return set.id;
    this.#setNames.push(name);
    const key = formatPriority(set.id);
    const count = set.targets.length;
    if (count === 0) {
      this.#add("esets", key, empty, name);
    } else if (seconds === undefined) {
      this.#counts.add(count);
      this.#add("esets", key, `goto mod-${count}`, name);
      set.targets.forEach((target, i) => this.#add("endpoints", `${key} . ${i}`, target));
    } else {
      this.#affinityCounts.add(count);
      this.#add("esets", key, `goto aff-${count}`, name);
      set.targets.forEach((target, i) => {
        const endpoint = formatPriority(set.id + (set.numbers.get(target) ?? 0));
        this.#add("aff-choice", `${key} . ${i}`, endpoint);
        this.#add("aff-live", endpoint, `goto aff-use-${seconds}`);
        this.#add("aff-ep", endpoint, target);
      });
    }
    return set.id;
  }

  #noRoom(port: ServicePort): void {
    this.#problems.push({
      object: `Service ${this.#key}`,
      field: "spec.sessionAffinity",
      message: `port ${port.port} has no affinity: this node holds no more sets of that kind`,
    });
  }

  /** Remembers what is counted per address, whatever the policies. */
  #note(endpoints: readonly Endpoint[]): void {
    for (const endpoint of endpoints) {
      if (!endpoint.local) continue;
      this.#hairpins.add(endpoint.address);
      if (endpoint.ready && !endpoint.terminating) this.#localReady.add(endpoint.address);
    }
  }

  /**
   * Allowed sources for LB VIPs, or undefined when everybody is: no range of this family, or one
   * that covers it all. A range with this node in it also admits the VIPs, so that a pod here
   * whose traffic the node made look like the VIP's is not shut out.
   */
  #sourceRanges(vips: readonly string[]): readonly Cidr[] | undefined {
    const ranges = this.#service.loadBalancerSourceRanges;
    if (ranges.length === 0 || ranges.some((range) => range.endsWith("/0"))) return undefined;
    const own = ranges.filter((range) => familyOf(range) === this.#context.family);
    if (own.length === 0) return undefined;
    const { nodeAddress } = this.#context;
    const nodeInside = nodeAddress !== undefined && own.some((r) => cidrContains(r, nodeAddress));
    return mergeCidrs(nodeInside ? [...own, ...vips.map(hostCidr)] : own);
  }

  #externalVips(field: string, addresses: readonly string[]): readonly string[] {
    return this.#ofFamily(addresses).filter((address) => {
      const why = this.#context.refuseVip(address);
      if (why === undefined) return true;
      this.#problems.push({
        object: `Service ${this.#key}`,
        field,
        message: `${address} ${why}; it is not served: choose an address that nobody else has`,
      });
      return false;
    });
  }

  #ofFamily(addresses: readonly string[]): readonly string[] {
    const own = addresses.filter((address) => familyOf(address) === this.#context.family);
    return [...new Set(own)];
  }

  #add(set: string, key: string, data?: string, comment?: string): void {
    this.#elements.push({
      set,
      key,
      ...(data === undefined ? {} : { data }),
      ...(comment === undefined ? {} : { comment }),
    });
  }
}

const NOTHING: readonly never[] = [];

/** One shared array stands for all empty ones: plans of 10,000 Services hold many. */
function kept<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NOTHING : list;
}
