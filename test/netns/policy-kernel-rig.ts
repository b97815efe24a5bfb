// Node-1 of a playground with the kernel side of policies, and nothing else of ours.

import type { ChildProcess } from "node:child_process";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import type { PolicySet } from "../../netpol-identity/evaluate/policy-set.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import type { ProbeProtocol } from "../../playground/probe-protocol.ts";
import type { CniShape } from "../../playground/topology.ts";
import { answerOf, APPLICATION_PORT } from "./identity-rig.ts";
import type { PolicyKernelCalls, PolicyRequest } from "./policy-kernel-agent.ts";
import { ServedNode } from "./served-node.ts";

/** Sets of one pod of node-1. */
export interface PodSets {
  readonly ingress?: PolicySet;
  readonly egress?: PolicySet;
}

export class PolicyKernelRig implements AsyncDisposable {
  readonly served: ServedNode;
  readonly agent: LineCaller<PolicyKernelCalls>;
  readonly #child: ChildProcess;

  /** Use `build`. */
  constructor(served: ServedNode) {
    this.served = served;
    const path = fileURLToPath(new URL("./policy-kernel-agent.ts", import.meta.url));
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", path];
    this.#child = served.playground.spawn(served.node.netns, argv);
    this.agent = new LineCaller(this.#child);
  }

  static async build(cni: CniShape): Promise<PolicyKernelRig> {
    const rig = new PolicyKernelRig(await ServedNode.build({ cni }));
    await rig.hold({});
    return rig;
  }

  /** @param sets by pod of node-1 */
  async hold(
    sets: Readonly<Record<string, PodSets>>,
    more: Partial<PolicyRequest> = {},
  ): Promise<void> {
    const { node } = this.served;
    const pods = node.pods.map(({ name, addresses }) => ({
      addresses: Object.values(addresses),
      ...sets[name],
    }));
    const exempt = Object.values(node.addresses);
    const none = { groups: {}, hold: false, podCidrs: [] };
    await this.agent.call("hold", { pods, exempt, ...none, ...more });
  }

  addresses(...pods: readonly string[]): readonly string[] {
    const named = this.served.pods.filter(({ name }) => pods.includes(name));
    assert.equal(named.length, pods.length, "no such pod");
    return named.flatMap(({ addresses }) => Object.values(addresses));
  }

  address(pod: string, family: Family): string {
    const found = this.served.pods.find(({ name }) => name === pod) ?? assert.fail(`no ${pod}`);
    return found.addresses[family];
  }

  /** Sends a frame from a pod's interface as it is. */
  async sendFrame(pod: string, frame: Buffer): Promise<void> {
    const program = fileURLToPath(new URL("./raw-frame.ts", import.meta.url));
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program, "eth0"];
    await this.run(pod, [...argv, frame.toString("hex")]);
  }

  /** Runs a program in a pod's network. @returns what it wrote */
  async run(pod: string, argv: readonly string[]): Promise<string> {
    const found = this.served.pods.find(({ name }) => name === pod) ?? assert.fail(`no ${pod}`);
    const { code, stdout, stderr } = await this.served.playground.exec(found.netns, argv);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  /** Who answers a pod's port, or how it failed: `pod-1-1`, `timeout`. */
  async ask(
    from: string,
    to: string,
    family: Family,
    protocol: ProbeProtocol = "tcp",
  ): Promise<string> {
    const address = this.address(to, family);
    return answerOf(
      await this.served.probe(from).try({ protocol, address, port: APPLICATION_PORT }),
    );
  }

  /** Which of these senders get an answer from a pod's port. */
  async heard(
    senders: readonly string[],
    to: string,
    family: Family,
    protocol: ProbeProtocol = "tcp",
  ): Promise<readonly string[]> {
    const answers = await Promise.all(
      senders.map((sender) => this.ask(sender, to, family, protocol)),
    );
    return senders.filter((_, i) => answers[i] === to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.served[Symbol.asyncDispose]();
  }
}
