// The model's choice of endpoints: which a Service port has, which of them may be used on a node,
// and which a connection gets.

import type { Agent } from "../agent-identity.ts";
import type { Endpoint, EndpointConditions, Service, ServicePort } from "../cluster/api-objects.ts";
import type { ProbeRequest } from "../probe-protocol.ts";
import type { Broken } from "./defect.ts";
import type { FakeObjects } from "./fake-objects.ts";

export interface Usable {
  readonly agent: Agent;
  readonly port: number;
  readonly endpoint: Endpoint;
}

export class FakeEndpoints {
  readonly #objects: FakeObjects;
  readonly #agents: readonly Agent[];
  readonly #broken: Broken;
  readonly #everSeen = new Map<string, readonly Usable[]>();

  constructor(objects: FakeObjects, agents: readonly Agent[], broken: Broken) {
    this.#objects = objects;
    this.#agents = agents;
    this.#broken = broken;
  }

  /** All endpoints of a port, in the family of the probe. */
  of(service: Service, port: ServicePort | undefined, probe: ProbeRequest): readonly Usable[] {
    const name = service.metadata?.name ?? "";
    const family = probe.address.includes(":") ? "IPv6" : "IPv4";
    const found = this.#objects.slicesOf(service).flatMap((slice) => {
      if (slice.addressType !== family) return [];
      const headless = slice.metadata?.labels?.["service.kubernetes.io/headless"] !== undefined;
      if (headless && !this.#broken("ignores-headless-label")) return [];
      const target = this.#broken("mixes-up-ports")
        ? slice.ports?.[0]
        : slice.ports?.find(
            (p) => p.name === port?.name && p.protocol === (port?.protocol ?? "TCP"),
          );
      return (slice.endpoints ?? []).flatMap((endpoint) => {
        const [address = ""] = endpoint.addresses;
        const agent = this.#agents.find((a) => a.addresses.includes(address));
        if (agent === undefined || target?.port === undefined) return [];
        if (agent.place === "host" && this.#broken("ignores-host-endpoints")) return [];
        return [{ agent, port: target.port, endpoint }];
      });
    });
    if (!this.#broken("keeps-removed-endpoints")) return found;
    const key = `${name}/${port?.name}`;
    const before = this.#everSeen.get(key) ?? [];
    const kept = [...found, ...before.filter((b) => !found.some((f) => f.agent === b.agent))];
    this.#everSeen.set(key, kept);
    return kept;
  }

  /** Ready ones, else terminating ones that serve. */
  fallBack(all: readonly Usable[]): readonly Usable[] {
    if (this.#broken("uses-unready")) return all;
    const ready = all.filter(({ endpoint }) => isReady(endpoint.conditions));
    const leaving = all.filter(({ endpoint }) => isLeaving(endpoint.conditions));
    if (this.#broken("uses-terminating")) return [...ready, ...leaving];
    if (this.#broken("no-terminating-fallback")) return ready;
    return ready.length > 0 ? ready : leaving;
  }

  /** The same among a node's own. */
  localFallBack(here: readonly Usable[], all: readonly Usable[]): readonly Usable[] {
    if (!this.#broken("no-local-terminating-fallback")) return this.fallBack(here);
    return here.filter(({ endpoint }) => this.fallBack(all).some((u) => u.endpoint === endpoint));
  }

  /** Those for this node, else for its zone, else all. */
  hinted(usable: readonly Usable[], node: string): readonly Usable[] {
    const zone = `zone-${node}`;
    const levels = [
      this.#broken("ignores-node-hints")
        ? undefined
        : ({ endpoint }: Usable) => endpoint.hints?.forNodes?.map(({ name }) => name === node),
      this.#broken("ignores-zone-hints")
        ? undefined
        : ({ endpoint }: Usable) => endpoint.hints?.forZones?.map(({ name }) => name === zone),
    ];
    for (const hits of levels) {
      if (hits === undefined) continue;
      const complete = usable.every((one) => hits(one) !== undefined);
      const chosen = usable.filter((one) => hits(one)?.includes(true) === true);
      if ((complete || this.#broken("trusts-partial-hints")) && chosen.length > 0) return chosen;
    }
    return usable;
  }
}

export function isReady(conditions: EndpointConditions | undefined): boolean {
  return conditions?.ready !== false;
}

function isLeaving(conditions: EndpointConditions | undefined): boolean {
  return conditions?.serving === true && conditions.terminating === true;
}
