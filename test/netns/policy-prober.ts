// Asks a cluster under policies who reaches whom, from every host at the same time.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Playground } from "../../playground/cluster.ts";
import { openProbe, type Probe } from "../../playground/probe.ts";
import { answerOf, formatProbe, isWanted, type PolicyProbe } from "./policy-probe.ts";
import { clusterIp, nodePort, servicePort } from "./policy-services.ts";

/** A packet that is not dropped is answered sooner; where it is not, the probe is sent again. */
const SILENCE_MS = 500;
/** An answer that is wanted is waited for: hundreds are asked at once, on a busy machine. */
const ANSWER_MS = 2_000;
const AGREES_WITHIN_MS = 20_000;
const PAUSE_MS = 50;
const TOLD = 12;

export interface ProberOptions {
  /** What servers speak over TCP. @default "tcp" */
  readonly speaks?: "tcp" | "http";
}

/** One process for each host that ever asks. */
export class PolicyProber implements AsyncDisposable {
  readonly #playground: Playground;
  readonly #speaks: "tcp" | "http";
  readonly #probes = new Map<string, Probe>();

  constructor(playground: Playground, { speaks = "tcp" }: ProberOptions = {}) {
    this.#playground = playground;
    this.#speaks = speaks;
  }

  /**
   * Asks all at the same time, and those that get another answer again, until all agree. What is
   * denied must be silence: neither a handshake nor a refusal.
   * @throws with those that never agree
   */
  async agree(what: string, probes: readonly PolicyProbe[]): Promise<void> {
    const deadline = performance.now() + AGREES_WITHIN_MS;
    let open = probes.map((probe) => ({ probe, answer: "" }));
    for (;;) {
      const answers = await Promise.all(open.map(({ probe }) => this.#askLong(probe)));
      open = open
        .map(({ probe }, at) => ({ probe, answer: answers[at] ?? "" }))
        .filter(({ probe, answer }) => !isWanted(answer, probe));
      if (open.length === 0) return;
      if (performance.now() > deadline) break;
      await delay(PAUSE_MS);
    }
    const told = open.slice(0, TOLD).map(({ probe, answer }) => `${formatProbe(probe)}: ${answer}`);
    assert.fail(`${what}: ${open.length} of ${probes.length} differ:\n${told.join("\n")}`);
  }

  #askLong(probe: PolicyProbe): Promise<string> {
    return this.ask(probe, probe.isAllowed ? ANSWER_MS : SILENCE_MS);
  }

  /** @returns as `answerOf` */
  async ask(probe: PolicyProbe, timeoutMs = SILENCE_MS): Promise<string> {
    const protocol = probe.protocol === "TCP" ? this.#speaks : "udp";
    const target = { protocol, ...this.#target(probe), timeoutMs } as const;
    return answerOf(await this.#probe(probe.client).try(target), probe);
  }

  #target({ server, entry, family, port, client }: PolicyProbe): {
    readonly address: string;
    readonly port: number;
  } {
    const { nodes } = this.#playground;
    const pods = nodes.flatMap((node) => node.pods);
    const pod = pods.find(({ name }) => name === server) ?? assert.fail(`no ${server}`);
    const number = pods.indexOf(pod) + 1;
    switch (entry) {
      case "pod":
        return { address: pod.addresses[family], port };
      case "service":
        return { address: clusterIp(number, family), port: servicePort(port) };
      case "nodePort": {
        const own = pods.find(({ name }) => name === client)?.node;
        const { addresses } = nodes.find(({ name }) => name === own) ?? this.#playground.node(1);
        return { address: addresses[family], port: nodePort(number, port) };
      }
      default:
        return entry satisfies never;
    }
  }

  #probe(host: string): Probe {
    let probe = this.#probes.get(host);
    if (probe === undefined) {
      const { client, nodes } = this.#playground;
      const hosts = [client, ...nodes, ...nodes.flatMap((node) => node.pods)];
      const { netns } = hosts.find(({ name }) => name === host) ?? assert.fail(`no ${host}`);
      probe = openProbe(this.#playground, netns);
      this.#probes.set(host, probe);
    }
    return probe;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const probe of this.#probes.values()) await probe[Symbol.asyncDispose]();
  }
}
