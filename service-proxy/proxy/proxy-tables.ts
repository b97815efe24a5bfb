// The plan as one worker holds it: frontends, ports and groups by key, changed by deltas. What a
// connection took from here it keeps; a delta changes what the next one gets.

import type { SocketAddress } from "../../lib/reactor/socket-address.ts";
import type {
  GroupKey,
  PortKey,
  ProxyClient,
  ProxyFrontend,
  ProxyGroup,
  ProxyNode,
  ProxyPlanDelta,
  ProxyPort,
} from "../model/proxy-plan.ts";
import { Circuit } from "./circuit-limits.ts";
import { ConnectionCounter } from "./connection-limits.ts";
import { EndpointGroup } from "./picker-group.ts";
import { RetryBudget } from "./retry-budget.ts";
import { makeEvenChance } from "./route-choice.ts";
import { compileRoutes, type RouteMatcher } from "./route-match.ts";

/** A Service port, with what is counted about it. */
export interface ServedPort {
  readonly key: PortKey;
  readonly plan: ProxyPort;
  readonly connections: ConnectionCounter;
  /** Compiled from the plan's table; undefined without one. */
  readonly matcher?: RouteMatcher;
}

/** A group of endpoints, with what is known about them. */
export interface ServedGroup {
  readonly key: GroupKey;
  readonly plan: ProxyGroup;
  readonly endpoints: EndpointGroup;
  readonly circuit: Circuit;
  readonly retries: RetryBudget;
}

export class ProxyTables {
  readonly #random: () => number;
  readonly #chances = new WeakMap<object, () => number>();
  readonly #frontends = new Map<string, ProxyFrontend>();
  readonly #ports = new Map<PortKey, ServedPort>();
  readonly #groups = new Map<GroupKey, ServedGroup>();
  readonly #clients = new Map<string, ProxyClient>();
  #node: ProxyNode = { nodeName: "", hostAddresses: [] };
  #hostAddresses: ReadonlySet<string> = new Set();

  /** @param random in [0, 1) */
  constructor(random: () => number) {
    this.#random = random;
  }

  get node(): ProxyNode {
    return this.#node;
  }

  get groups(): Iterable<ServedGroup> {
    return this.#groups.values();
  }

  apply(delta: ProxyPlanDelta, nowMs: number): void {
    if (delta.node !== undefined) {
      this.#node = delta.node;
      this.#hostAddresses = new Set(delta.node.hostAddresses);
    }
    for (const [key, group] of delta.groups) {
      if (group === null) this.#groups.delete(key);
      else this.#setGroup(key, group, nowMs);
    }
    for (const [key, port] of delta.ports) {
      if (port === null) this.#ports.delete(key);
      else this.#setPort(key, port);
    }
    for (const [key, frontend] of delta.frontends) {
      if (frontend === null) this.#frontends.delete(key);
      else this.#frontends.set(key, frontend);
    }
    for (const [address, client] of delta.clients) {
      if (client === null) this.#clients.delete(address);
      else this.#clients.set(address, client);
    }
  }

  /** The frontend of the address that a client dialled: a VIP, or a NodePort on any address. */
  frontend({ address, port }: SocketAddress): ProxyFrontend | undefined {
    const family = address.includes(":") ? "IPv6" : "IPv4";
    return this.#frontends.get(`${address} ${port}`) ?? this.#frontends.get(`${family} ${port}`);
  }

  port(key: PortKey): ServedPort | undefined {
    return this.#ports.get(key);
  }

  group(key: GroupKey): ServedGroup | undefined {
    return this.#groups.get(key);
  }

  /** The pod of this node that has the address. */
  client(address: string): ProxyClient | undefined {
    return this.#clients.get(address);
  }

  /**
   * The next number in [0, 1) for one choice by weight, spread evenly: see `makeEvenChance`.
   * @param choice what has the weights, in the plan of the moment
   */
  nextShare(choice: object): number {
    let chance = this.#chances.get(choice);
    if (chance === undefined) {
      chance = makeEvenChance(this.#random());
      this.#chances.set(choice, chance);
    }
    return chance();
  }

  isHost(address: string): boolean {
    return this.#hostAddresses.has(address);
  }

  #setGroup(key: GroupKey, plan: ProxyGroup, nowMs: number): void {
    const before = this.#groups.get(key);
    const group: ServedGroup = {
      key,
      plan,
      endpoints: before?.endpoints ?? new EndpointGroup(),
      circuit: before?.circuit ?? new Circuit(),
      retries: before?.retries ?? new RetryBudget(),
    };
    group.endpoints.update(plan, nowMs, plan.balancing.preferZone);
    this.#groups.set(key, group);
  }

  #setPort(key: PortKey, plan: ProxyPort): void {
    const before = this.#ports.get(key);
    const connections = before?.connections ?? new ConnectionCounter();
    const table = plan.kind.kind === "http" ? plan.kind.routes : undefined;
    const matcher = table === undefined ? {} : { matcher: compileRoutes(table) };
    this.#ports.set(key, { key, plan, connections, ...matcher });
  }
}
