// Node-1 of a playground with the kernel half of the lanes and a stand-in for a proxy worker.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import type { OpenConnection } from "../../playground/probe.ts";
import type { ProbeOptions, ProbeResult } from "../../playground/probe-protocol.ts";
import type { GateAnswer, GatedPods } from "../../service-proxy/model/lane-gate.ts";
import type { LaneOptions } from "../../service-proxy/plan/lane-marks.ts";
import {
  nodeManifest,
  SERVICE_CIDR_MANIFEST,
} from "../../service-proxy/plan/packet-case-manifests.ts";
import { CLUSTER_CIDRS, type Entry } from "../../service-proxy/plan/packet-cases.ts";
import type { LaneAgentCalls, LaneKeys } from "./lane-agent.ts";
import type { ListenerCalls } from "./lane-listener.ts";
import {
  FAMILIES,
  ServedNode,
  type ServedNodeOptions,
  type TestService,
  until,
} from "./served-node.ts";

const ENTRIES: readonly Entry[] = ["cluster", "nodePort", "external", "balancer"];

/** Who answered, in one word: a pod, `inside` or `outside` of the lane, or the failure. */
export type Answer = string;

export interface LaneRigOptions {
  readonly lane?: LaneOptions;
  readonly flags?: readonly string[];
  /** @default false */
  readonly isGated?: boolean;
}

export class LaneRig implements AsyncDisposable {
  readonly served: ServedNode;
  readonly agent: LineCaller<LaneAgentCalls>;
  readonly #agent: ChildProcess;
  #listener: { readonly child: ChildProcess; readonly caller: LineCaller<ListenerCalls> };

  /** Use `build`. */
  constructor(served: ServedNode) {
    this.served = served;
    this.#agent = this.#spawn("lane-agent.ts");
    this.agent = new LineCaller(this.#agent);
    this.#listener = this.#openListener();
  }

  /** Builds it all and beats; `services` are in the kernel lane yet. */
  static async build(
    options: ServedNodeOptions,
    services: readonly TestService[],
    more: LaneRigOptions = {},
  ): Promise<LaneRig> {
    const rig = new LaneRig(await ServedNode.build(options));
    try {
      await rig.install(services, more);
      await rig.listener.call("listen", {});
      await rig.beat();
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  async install(services: readonly TestService[], more: LaneRigOptions = {}): Promise<void> {
    const { served } = this;
    const nodes = served.playground.nodes.map(nodeManifest);
    const objects = services.flatMap((service) => served.manifests(service));
    await this.agent.call("install", {
      flags: ["--source=dir:/", `--cluster-cidr=${CLUSTER_CIDRS}`, ...(more.flags ?? [])],
      manifests: [SERVICE_CIDR_MANIFEST, ...nodes, ...objects],
      ...(more.lane === undefined ? {} : { lane: more.lane }),
      ...(more.isGated === undefined ? {} : { isGated: more.isGated }),
    });
  }

  get listener(): LineCaller<ListenerCalls> {
    return this.#listener.caller;
  }

  /** All entry points of a Service, into the lane or out of it. */
  async move(direction: "in" | "out", number: number): Promise<void> {
    await this.agent.call("move", { direction, keys: this.#keys(number) });
  }

  /** Who may connect to the ClusterIP of a Service; see `LaneAgentCalls`. */
  async gate(
    number: number,
    family: Family,
    gate: { readonly pods: GatedPods; readonly answer: GateAnswer },
  ): Promise<void> {
    const { address, port } = this.served.address("cluster", number, family);
    await this.agent.call("gate", { family, key: `${address} . tcp . ${port}`, ...gate });
  }

  /** From now on the lanes hear that a worker lives. */
  async beat(): Promise<void> {
    await this.agent.call("beat", { healthy: true });
    await until("a heartbeat", async () => (await this.aliveWord()) === "living");
  }

  /** What the kernel knows about workers at the moment. */
  async aliveWord(): Promise<"living" | "dead"> {
    const listed = await this.served.run("nft", "list", "set", "ip6", "innermesh", "alive");
    return listed.includes("tcp") ? "living" : "dead";
  }

  /** The lanes' routing rules and routes of both families; empty when there are none. */
  async routes(): Promise<string> {
    const lists = ["-4", "-6"].flatMap((family) => [
      this.served.run("ip", family, "rule", "list", "pref", "98"),
      this.served.run("ip", family, "rule", "list", "pref", "99"),
      this.served.run("ip", family, "rule", "list", "pref", "100"),
      this.served.run("ip", family, "route", "list", "table", "all"),
    ]);
    const lines = (await Promise.all(lists)).flatMap((list) => list.split("\n"));
    return lines.filter((line) => /^(98|99|100):|table 1000/.test(line)).join("\n");
  }

  /** Runs a program on a node. @returns its standard output */
  async runOn(node: number, ...argv: readonly string[]): Promise<string> {
    const { playground } = this.served;
    const { code, stdout, stderr } = await playground.exec(playground.node(node).netns, argv);
    assert.equal(code, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** Stops the agent's heart, or lets it beat on. */
  freezeAgent(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#agent.kill(signal);
  }

  /** The listener dies as by SIGKILL; `revive` brings it back. */
  async killListener(): Promise<void> {
    const { child, caller } = this.#listener;
    child.kill("SIGKILL");
    await caller[Symbol.asyncDispose]();
  }

  async revive(): Promise<void> {
    await this.killListener();
    this.#listener = this.#openListener();
    await this.listener.call("listen", {});
  }

  /** One try over TCP. */
  try(
    from: string,
    entry: Entry,
    number: number,
    family: Family,
    options: ProbeOptions = {},
  ): Promise<ProbeResult> {
    const { address, port } = this.served.address(entry, number, family);
    return this.served.probe(from).tcp(address, port, options);
  }

  /** Who answers one try. */
  async ask(...args: Parameters<LaneRig["try"]>): Promise<Answer> {
    return answerOf(await this.try(...args));
  }

  /** A connection that stays open. */
  async open(from: string, entry: Entry, number: number, family: Family): Promise<OpenConnection> {
    const { address, port } = this.served.address(entry, number, family);
    const opened = await this.served.probe(from).open(address, port);
    assert("say" in opened, `${from} cannot open ${entry} of ${family}: ${opened.kind}`);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.killListener();
    await this.agent[Symbol.asyncDispose]();
    await this.served[Symbol.asyncDispose]();
  }

  #keys(number: number): LaneKeys {
    const keysOf = (family: Family): string[] =>
      ENTRIES.map((entry) => {
        const { address, port } = this.served.address(entry, number, family);
        return entry === "nodePort" ? `tcp . ${port}` : `${address} . tcp . ${port}`;
      });
    const [ip, ip6] = FAMILIES.map(keysOf);
    assert(ip !== undefined && ip6 !== undefined);
    return { ip, ip6 };
  }

  #openListener(): { readonly child: ChildProcess; readonly caller: LineCaller<ListenerCalls> } {
    const child = this.#spawn("lane-listener.ts");
    return { child, caller: new LineCaller(child) };
  }

  #spawn(program: string): ChildProcess {
    const path = fileURLToPath(new URL(`./${program}`, import.meta.url));
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", path];
    return this.served.playground.spawn(this.served.node.netns, argv);
  }
}

export function answerOf(result: ProbeResult): Answer {
  if (result.kind !== "reply") return result.kind;
  const { echo } = result;
  if (echo === undefined) return `somebody: ${result.text}`;
  return echo.pod === "lane" ? echo.node : echo.pod;
}
