// What one case acts on: agents and nodes of one family, Services that are removed afterwards,
// and claims that are held against the network.

import assert from "node:assert/strict";

import type { Clock } from "../lib/clock/clock.ts";
import { type Address, type AddressFamily, parseAddress } from "../lib/ip/address.ts";
import { type Agent, addressOf } from "./agent-identity.ts";
import type { AgentTransport } from "./agent-transport.ts";
import { holdClaim, type Observation, SkipError, type Target } from "./claim.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { type ClusterFacts, outsideAgents, type StageNode, stageNodes } from "./cluster-facts.ts";
import type { Expectation } from "./expectation.ts";
import type { ProbeResult } from "./probe-protocol.ts";
import { createStagedService, type ServiceOptions, type StagedService } from "./staged-service.ts";

export interface StageOptions {
  readonly cluster: Cluster;
  readonly transport: AgentTransport;
  readonly facts: ClusterFacts;
  readonly family: AddressFamily;
  readonly clock: Clock;
  /** Aborts what the case does; clean-up goes on. */
  readonly signal: AbortSignal;
  /** For each claim to come true. */
  readonly limitMs: number;
  /** A name for each Service, never given twice. */
  readonly nextName: () => string;
}

/** Disposing of it removes all that its case made; errors then are collected in `leftovers`. */
export class Stage implements AsyncDisposable {
  readonly family: AddressFamily;
  readonly facts: ClusterFacts;
  /** Nodes that run pod agents, those with most of them first. */
  readonly nodes: readonly StageNode[];
  /** All pod agents, node by node. */
  readonly pods: readonly Agent[];
  /** Claims that came true, in order. */
  readonly observations: Observation[] = [];
  /** What could not be removed. */
  readonly leftovers: string[] = [];
  readonly #options: StageOptions;
  readonly #services: StagedService[] = [];
  readonly #unready = new Set<Agent>();

  constructor(options: StageOptions) {
    this.#options = options;
    this.family = options.family;
    this.facts = options.facts;
    this.nodes = stageNodes(options.facts, options.family);
    this.pods = this.nodes.flatMap((node) => node.pods);
  }

  /** The n-th node, from 0; the case's needs promise it. */
  node(index: number): StageNode {
    const found = this.nodes[index];
    assert(found !== undefined, `a case that uses node ${index} must need it`);
    return found;
  }

  /** The n-th pod agent, from 0; the case's needs promise it. */
  pod(index: number): Agent {
    const found = this.pods[index];
    assert(found !== undefined, `a case that uses pod ${index} must need it`);
    return found;
  }

  /** A node's own agent; the case's needs promise it. */
  host(node: StageNode): Agent {
    assert(node.host !== undefined, "a case that uses hosts must need them");
    return node.host;
  }

  /** Agents that are strangers to a node: the hosts of others, and those outside the cluster. */
  strangersTo(node: StageNode): readonly Agent[] {
    const hosts = this.nodes.flatMap(({ name, host }) =>
      name === node.name || host === undefined ? [] : [host],
    );
    return [...hosts, ...outsideAgents(this.facts, this.family)];
  }

  /** An agent's address in this stage's family; undefined only outside of it. */
  address(agent: Agent, family: AddressFamily = this.family): Address {
    const found = addressOf(agent, family);
    assert(found !== undefined, `agent "${agent.name}" has no address of family ${family}`);
    return found;
  }

  /** Creates a Service that lives as long as this stage. */
  async service(options: ServiceOptions): Promise<StagedService> {
    const { signal, cluster, nextName } = this.#options;
    signal.throwIfAborted();
    const name = nextName();
    const service = await createStagedService({ cluster, family: this.family, name }, options);
    this.#services.push(service);
    return service;
  }

  /**
   * Holds a claim: probes until the network is as expected.
   * @param words a sentence for the report
   */
  async claim(words: string, from: Agent, to: Target, expected: Expectation): Promise<void> {
    const { transport } = this.#options;
    const claim = { words, from, to: { ...to, address: canonical(to.address) }, expected };
    const observation = await holdClaim(
      claim,
      (agent, probe, count, parallel) => transport.probe(agent, probe, count, parallel),
      this.#options,
    );
    this.observations.push(observation);
  }

  /** One try, for cases that need to see the answer itself. */
  async try(from: Agent, to: Target): Promise<ProbeResult | undefined> {
    this.#options.signal.throwIfAborted();
    const probe = { ...to, address: canonical(to.address), timeoutMs: 2_000 };
    const [result] = await this.#options.transport.probe(from, probe, 1, 1);
    return result;
  }

  /** Makes a pod unready, or ready again; the stage's end makes it ready. */
  async setReady(agent: Agent, ready: boolean): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (!ready) this.#unready.add(agent);
    await this.#options.transport.setReady(agent, ready);
    if (ready) this.#unready.delete(agent);
  }

  /** Lets time pass. */
  async sleep(durationMs: number): Promise<void> {
    await this.#options.clock.sleep(durationMs, this.#options.signal);
    this.#options.signal.throwIfAborted();
  }

  /** Ends the case as skipped. */
  skip(reason: string): never {
    throw new SkipError(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { transport } = this.#options;
    const undo = [
      ...this.#services.map((service) => [service.name, () => service.clear()] as const),
      ...[...this.#unready].map(
        (agent) => [agent.name, () => transport.setReady(agent, true)] as const,
      ),
    ];
    for (const [what, action] of undo.toReversed()) {
      await action().catch((error: unknown) => this.leftovers.push(`${what}: ${String(error)}`));
    }
  }
}

/** API servers may write an address in a longer form than agents compare. */
function canonical(text: string): Address {
  return parseAddress(text) ?? text;
}
