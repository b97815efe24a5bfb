// Everything one address family's table should hold, kept up to date one Service at a time. Two
// of these, one for each family, make the node's plan. A value holder: no I/O, no clock.

import { familyOf } from "../../lib/ip/address.ts";
import { type Cidr, mergeCidrs } from "../../lib/ip/cidr.ts";
import type { EndpointSlice } from "../../lib/kube/api/endpoint-slice.ts";
import type { Service, ServicePort } from "../../lib/kube/api/service.ts";
import type { Problem } from "../../lib/kube/store.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import type { GatedPods, LaneGate } from "../model/lane-gate.ts";
import type { UdpServicePort } from "../model/udp-targets.ts";
import { ElementLedger, type Owner } from "./element-ledger.ts";
import { NO_PROXY_PARTS, ProxyLedger } from "./proxy-ledger.ts";
import { KERNEL_LANE, type Masquerade, type PortLane } from "./proxy-port-plan.ts";
import type { Demand, RulesetOptions } from "./ruleset.ts";
import { type PlannedElement, planService, type ServicePlan } from "./service-plan.ts";
import { SetBook } from "./set-book.ts";
import type { Place } from "./usable-endpoints.ts";
import { type PodRanges, refuseVip } from "./vip-guard.ts";

/** What the node knows about itself in one family. */
export interface FamilyFacts {
  readonly place: Place;
  /** This node's own address, for source ranges. */
  readonly nodeAddress?: string;
  /** Where NodePorts answer; ignored when the ruleset lets them answer everywhere. */
  readonly nodePortAddresses: readonly string[];
  readonly localPodCidrs: readonly Cidr[];
  /** Whom lanes have a gate for. */
  readonly gatedPods: GatedPods;
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses no Service may claim as external VIP. */
  readonly nodeAddresses: ReadonlySet<string>;
  readonly apiServerAddresses: ReadonlySet<string>;
  readonly podRanges: PodRanges;
}

interface Planned {
  readonly owner: Owner;
  readonly plan: ServicePlan;
  readonly clusterIps: readonly string[];
  readonly externalVips: readonly string[];
}

/** Which lane serves a port, at the moment. */
export type LaneOf = (service: Service, port: ServicePort) => PortLane;

const NODE: Owner = { name: "node", createdMs: 0 };

export class FamilyPlan {
  readonly options: RulesetOptions;
  readonly ledger = new ElementLedger();
  readonly proxy = new ProxyLedger();
  readonly #book = new SetBook();
  readonly #planned = new Map<string, Planned>();
  readonly #clusterIps = new Map<string, number>();
  /** Address → Services that claim it from outside; they are looked at again when it changes. */
  readonly #claimants = new Map<string, Set<string>>();
  readonly #counts = new Map<string, Map<number, number>>();
  readonly #laneOf: LaneOf;
  readonly #gate: LaneGate | undefined;
  #facts: FamilyFacts;
  #udpVersion = 0;
  readonly #healthChecked = new Set<string>();
  /** Services with something in them that cannot be served. */
  readonly #troubled = new Set<string>();
  /** Ports of policy Local that have endpoints elsewhere only. */
  readonly totals = { noLocalInternal: 0, noLocalExternal: 0 };
  #nodeElements: readonly PlannedElement[] = [];

  /**
   * @param laneOf asked again whenever a Service is planned
   * @param gate the same
   */
  constructor(
    options: RulesetOptions,
    facts: FamilyFacts,
    recovered?: TableContents,
    laneOf: LaneOf = () => KERNEL_LANE,
    gate?: LaneGate,
  ) {
    this.options = options;
    this.#laneOf = laneOf;
    this.#gate = gate;
    this.#facts = facts;
    if (recovered !== undefined) this.#book.recover(recovered);
    this.#planNode();
  }

  /**
   * Takes new facts about the node.
   * @returns keys of the Services that must be planned again
   */
  setFacts(facts: FamilyFacts): Iterable<string> {
    const before = this.#facts;
    if (!differ(everything(before), everything(facts))) return [];
    this.#facts = facts;
    this.#planNode();
    if (differ(placing(before), placing(facts))) return this.#planned.keys();
    if (!differ(guarding(before), guarding(facts))) return [];
    return new Set([...this.#claimants.values()].flatMap((services) => [...services]));
  }

  /**
   * Plans one Service again, or forgets it when `service` is undefined.
   * @returns other Services that must be planned again because an address changed hands
   */
  plan(
    key: string,
    service: Service | undefined,
    slices: ReadonlyMap<string, EndpointSlice>,
  ): readonly string[] {
    const before = this.#planned.get(key);
    if (service === undefined && before === undefined) return [];
    const { family } = this.options;
    const context = {
      family,
      place: this.#facts.place,
      ...(this.#facts.nodeAddress === undefined ? {} : { nodeAddress: this.#facts.nodeAddress }),
      refuseVip: (address: string) => this.#refuseVip(address),
      masquerade: masqueradeOf(this.options),
      laneOf: this.#laneOf,
      ...(this.#gate && { gate: this.#gate }),
    };
    const plan =
      service === undefined ? undefined : planService(service, slices, context, this.#book);
    if (service === undefined) this.#gate?.ask(key, family, []);
    const owner: Owner = {
      name: key,
      createdMs: service?.createdMs ?? before?.owner.createdMs ?? 0,
    };
    if (before !== undefined && before.owner.createdMs !== owner.createdMs) {
      this.ledger.replace(before.owner, before.plan.elements, []);
      this.ledger.replace(owner, [], plan?.elements ?? []);
    } else {
      this.ledger.replace(owner, before?.plan.elements ?? [], plan?.elements ?? []);
    }
    this.proxy.replace(owner, before?.plan.proxy ?? NO_PROXY_PARTS, plan?.proxy ?? NO_PROXY_PARTS);
    const kept = new Set(plan?.setNames);
    for (const name of before?.plan.setNames ?? []) if (!kept.has(name)) this.#book.release(name);
    if ((before?.plan.udp.length ?? 0) + (plan?.udp.length ?? 0) > 0) this.#udpVersion++;
    this.#count(before?.plan, -1);
    this.#count(plan, 1);
    const next =
      service === undefined || plan === undefined
        ? undefined
        : describe(service, owner, plan, family);
    if (hasHealthPort(service)) this.#healthChecked.add(key);
    else this.#healthChecked.delete(key);
    if (plan !== undefined && plan.problems.length > 0) this.#troubled.add(key);
    else this.#troubled.delete(key);
    if (next === undefined) this.#planned.delete(key);
    else this.#planned.set(key, next);
    return this.#moveAddresses(key, before, next);
  }

  get services(): ReadonlyMap<string, { readonly plan: ServicePlan }> {
    return this.#planned;
  }

  /** Endpoint counts and timeouts that chains must exist for. */
  demand(): Demand {
    const keys = (name: string): ReadonlySet<number> => new Set(this.#counts.get(name)?.keys());
    return {
      counts: keys("count"),
      affinityCounts: keys("affinity"),
      affinitySeconds: keys("seconds"),
      lane: !this.proxy.isEmpty,
    };
  }

  /** What is wrong with Services in this family; a lost conflict names the winner. */
  problems(): Problem[] {
    const problems = [...this.#troubled].flatMap(
      (key) => this.#planned.get(key)?.plan.problems ?? [],
    );
    for (const { set, key, winner, loser } of this.ledger.conflicts()) {
      // The same entry point, told of the kernel lane's set already.
      if (set.startsWith("lane-")) continue;
      const what = key.split(" . ").join(" ");
      problems.push({
        object: `Service ${loser}`,
        field: set === "nodeports" ? "spec.ports.nodePort" : "spec.externalIPs",
        message: `${what} is already served for Service ${winner}: choose another`,
      });
    }
    return problems;
  }

  /** Every UDP port that is served. */
  *udpPorts(): Generator<UdpServicePort> {
    for (const { plan } of this.#planned.values()) yield* plan.udp;
  }

  /** Services with a health check port. */
  get healthChecked(): ReadonlySet<string> {
    return this.#healthChecked;
  }

  /** Grows whenever `udpPorts` may give something else. */
  get udpVersion(): number {
    return this.#udpVersion;
  }

  /** Addresses where NodePorts answer; undefined when on every address of the node. */
  get nodePortAddresses(): readonly string[] | undefined {
    return this.options.nodePortsEverywhere ? undefined : this.#facts.nodePortAddresses;
  }

  #refuseVip(address: string): string | undefined {
    return refuseVip({ ...this.#facts, clusterIps: this.#clusterIps }, address);
  }

  #planNode(): void {
    const facts = this.#facts;
    const elements = [
      ...facts.nodePortAddresses.map((key) => ({ set: "nodeport-ips", key })),
      ...mergeCidrs(facts.localPodCidrs).map((key) => ({ set: "local-pods", key })),
      ...mergeCidrs(facts.serviceCidrs).map((key) => ({ set: "service-cidrs", key })),
      ...facts.gatedPods.all.map((key) => ({ set: "lane-pods", key })),
      ...facts.gatedPods.isolated.map((key) => ({ set: "lane-isolated", key })),
    ];
    this.#udpVersion++;
    this.ledger.replace(NODE, this.#nodeElements, elements);
    this.#nodeElements = elements;
  }

  #count(plan: ServicePlan | undefined, step: 1 | -1): void {
    if (plan === undefined) return;
    this.totals.noLocalInternal += step * plan.noLocalInternal;
    this.totals.noLocalExternal += step * plan.noLocalExternal;
    const add = (name: string, value: number): void => {
      let counts = this.#counts.get(name);
      if (counts === undefined) this.#counts.set(name, (counts = new Map()));
      const total = (counts.get(value) ?? 0) + step;
      if (total === 0) counts.delete(value);
      else counts.set(value, total);
    };
    for (const count of plan.counts) add("count", count);
    for (const count of plan.affinityCounts) add("affinity", count);
    if (plan.affinitySeconds !== undefined) add("seconds", plan.affinitySeconds);
  }

  #moveAddresses(key: string, before?: Planned, after?: Planned): readonly string[] {
    const again = new Set<string>();
    for (const address of before?.externalVips ?? []) {
      const claimants = this.#claimants.get(address);
      claimants?.delete(key);
      if (claimants?.size === 0) this.#claimants.delete(address);
    }
    for (const address of after?.externalVips ?? []) {
      const claimants = this.#claimants.get(address) ?? new Set();
      this.#claimants.set(address, claimants.add(key));
    }
    const step = (addresses: readonly string[], by: 1 | -1): void => {
      for (const address of addresses) {
        const owners = this.#clusterIps.get(address) ?? 0;
        if (owners + by === 0) this.#clusterIps.delete(address);
        else this.#clusterIps.set(address, owners + by);
        const moved = owners === 0 || owners + by === 0;
        if (moved) for (const name of this.#claimants.get(address) ?? []) again.add(name);
      }
    };
    const [old, now] = [before?.clusterIps ?? [], after?.clusterIps ?? []];
    step(now, 1);
    step(old, -1);
    return [...again];
  }
}

/** Undefined for a Service that has no address of the family, as most have none in one of them. */
function describe(
  service: Service,
  owner: Owner,
  plan: ServicePlan,
  family: Family,
): Planned | undefined {
  const ofFamily = (address: string): boolean => familyOf(address) === family;
  const clusterIps = service.clusterIPs.filter(ofFamily);
  const externalVips = [...service.externalIPs, ...service.loadBalancerVips].filter(ofFamily);
  if (clusterIps.length + externalVips.length === 0) return undefined;
  return { owner, plan, clusterIps, externalVips };
}

function masqueradeOf({ masqueradeAll, detector }: RulesetOptions): Masquerade {
  if (masqueradeAll) return "all";
  return detector.kind === "none" ? "nobody" : "outsiders";
}

function hasHealthPort(service: Service | undefined): boolean {
  return (
    service?.type === "LoadBalancer" &&
    service.externalTrafficPolicy === "Local" &&
    service.healthCheckNodePort !== 0
  );
}

/** The facts that change the plan of any Service. */
function placing({ place, nodeAddress }: FamilyFacts): readonly unknown[] {
  return [place, nodeAddress];
}

function everything(facts: FamilyFacts): readonly unknown[] {
  const { nodePortAddresses, localPodCidrs, gatedPods } = facts;
  return [placing(facts), guarding(facts), nodePortAddresses, localPodCidrs, gatedPods];
}

/** The facts that change only Services with addresses from outside. */
function guarding(facts: FamilyFacts): readonly unknown[] {
  const { serviceCidrs, nodeAddresses, apiServerAddresses, podRanges } = facts;
  return [serviceCidrs, [...nodeAddresses], [...apiServerAddresses], [...podRanges.cidrs]];
}

function differ(a: readonly unknown[], b: readonly unknown[]): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}
