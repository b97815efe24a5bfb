// The model's choice for one connection: random, or by affinity.

import assert from "node:assert/strict";
import type { Agent } from "../agent-identity.ts";
import type { Service, ServicePort } from "../cluster/api-objects.ts";
import type { ProbeRequest } from "../probe-protocol.ts";
import type { Broken } from "./defect.ts";
import type { Usable } from "./fake-endpoints.ts";

export interface Connection {
  readonly client: string;
  readonly probe: ProbeRequest;
  readonly service: Service;
  readonly port: ServicePort;
  readonly entry: string;
}

export interface FakeChoiceOptions {
  readonly agents: readonly Agent[];
  readonly nowMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

export class FakeChoice {
  readonly #options: FakeChoiceOptions;
  readonly #broken: Broken;
  readonly #affinity = new Map<string, { readonly agent: string; readonly atMs: number }>();
  readonly #flows = new Map<string, Usable>();

  constructor(options: FakeChoiceOptions, broken: Broken) {
    this.#options = options;
    this.#broken = broken;
  }

  /** What a flow was translated to before; nobody remembers that, unless something is wrong. */
  remembered(client: string, probe: ProbeRequest): Usable | undefined {
    return this.#broken("stale-udp-flows") ? this.#flows.get(flowOf(client, probe)) : undefined;
  }

  /** @param usable at least one */
  choose(connection: Connection, usable: readonly Usable[]): Usable {
    const chosen = this.#pick(connection, usable);
    const { client, probe } = connection;
    if (probe.sourcePort !== undefined) this.#flows.set(flowOf(client, probe), chosen);
    return chosen;
  }

  #pick(connection: Connection, usable: readonly Usable[]): Usable {
    const { service } = connection;
    const key = this.#keyOf(connection);
    const remembered = this.#affinity.get(key);
    const off = service.spec?.sessionAffinity !== "ClientIP";
    const stuck = this.#broken("affinity-cannot-be-switched") && remembered !== undefined;
    if ((off && !stuck) || this.#broken("no-affinity")) return this.#any(usable);
    const nowMs = this.#options.nowMs();
    const fresh = remembered !== undefined && nowMs - remembered.atMs <= limitMs(service);
    const keep = fresh || this.#broken("affinity-forever");
    const held = usable.find(({ agent }) => agent.name === remembered?.agent);
    const dead = this.#options.agents.find((agent) => agent.name === remembered?.agent);
    const [first] = usable;
    if (this.#broken("affinity-outlives-endpoint") && dead && first)
      return { ...first, agent: dead };
    const chosen = keep && held !== undefined ? held : this.#any(usable);
    this.#affinity.set(key, { agent: chosen.agent.name, atMs: nowMs });
    return chosen;
  }

  #keyOf({ service, port, client, entry }: Connection): string {
    const key = [service.metadata?.name, port.name, client];
    if (this.#broken("affinity-per-entry")) key.push(entry);
    return key.join("|");
  }

  #any(usable: readonly Usable[]): Usable {
    const index = Math.floor(this.#options.random() * usable.length);
    const chosen = usable[this.#broken("serves-first-endpoint-only") ? 0 : index];
    assert(chosen !== undefined, "nothing to choose from");
    return chosen;
  }
}

function flowOf(client: string, { address, port, sourcePort }: ProbeRequest): string {
  return `${client}:${sourcePort}>${address}:${port}`;
}

function limitMs({ spec }: Service): number {
  return 1_000 * (spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800);
}
