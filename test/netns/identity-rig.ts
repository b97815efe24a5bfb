// Node-1 of a playground with the kernel side of identities and a stand-in for a worker.

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Family } from "../../lib/nft/objects.ts";
import type { PolicyState } from "../../netpol-identity/apply/policy-keeper.ts";
import type { PolicyPeer, PolicyPod } from "../../netpol-identity/plan/policy-table-parts.ts";
import { LineCaller } from "../../playground/line-calls.ts";
import type { ProbeProtocol, ProbeResult } from "../../playground/probe-protocol.ts";
import type { CniShape, PlaygroundPod } from "../../playground/topology.ts";
import type { IdentityAgentCalls } from "./identity-agent.ts";
import type { DoorCalls } from "./identity-door.ts";
import { ServedNode, until } from "./served-node.ts";

/** Modes by pod; pods of node-2 among them are peers. All others are not enrolled. */
export type Modes = Readonly<Record<string, PolicyPeer["mode"]>>;

/** Where echo servers of pods answer, over TCP and UDP. */
export const APPLICATION_PORT = 9090;

export class IdentityRig implements AsyncDisposable {
  readonly served: ServedNode;
  #agent: { readonly child: ChildProcess; readonly caller: LineCaller<IdentityAgentCalls> };
  #door: { readonly child: ChildProcess; readonly caller: LineCaller<DoorCalls> };
  /** Differs between pods that had the same address. */
  readonly uids = new Map<string, string>();

  /** Use `build`. */
  constructor(served: ServedNode) {
    this.served = served;
    this.#agent = this.#openAgent();
    this.#door = this.#openDoor();
  }

  static async build(cni: CniShape, modes: Modes): Promise<IdentityRig> {
    const rig = new IdentityRig(await ServedNode.build({ cni }));
    try {
      await rig.#door.caller.call("listen", {});
      const { problems } = await rig.hold(modes);
      assert.deepEqual(problems, []);
      await rig.agent.call("tell", { word: "living" });
    } catch (error) {
      await rig[Symbol.asyncDispose]();
      throw error;
    }
    return rig;
  }

  /** Starts the agent that serves Services, without identities: it removes what we hold, once. */
  async startServing(...flags: readonly string[]): Promise<void> {
    const argv = ["nft", "list", "table", "ip", "innermesh-policy"];
    const { playground, node } = this.served;
    const isThere = async (): Promise<boolean> =>
      (await playground.exec(node.netns, argv)).code === 0;
    // Whoever mends them does so at the next audit, which comes by itself after seconds.
    const removed = until("the removal", async () => !(await isThere()));
    await Promise.all([removed, this.served.start(...flags)]);
    await this.agent.call("audit", {});
    await until("the tables to be back", isThere);
    await this.agent.call("tell", { word: "living" });
  }

  get agent(): LineCaller<IdentityAgentCalls> {
    return this.#agent.caller;
  }

  /** Brings the kernel to these modes of the pods that there are. */
  hold(modes: Modes, pods: readonly PlaygroundPod[] = this.served.node.pods): Promise<PolicyState> {
    const local = pods.map(
      (pod): PolicyPod => ({
        uid: this.uids.get(pod.name) ?? pod.name,
        addresses: Object.values(pod.addresses),
        mode: modes[pod.name] ?? "off",
      }),
    );
    const far = this.served.playground.node(2).pods;
    const peers = far.flatMap(({ name, addresses }): PolicyPeer[] => {
      const mode = modes[name];
      return mode === undefined
        ? []
        : Object.values(addresses).map((address) => ({ address, mode }));
    });
    return this.agent.call("hold", { pods: local, peers });
  }

  pod(name: string): PlaygroundPod {
    return this.served.pods.find((pod) => pod.name === name) ?? assert.fail(`no ${name}`);
  }

  /** Who answers a pod's port: a pod, a door, or how it failed. */
  async ask(
    from: string,
    to: string,
    family: Family,
    target: { readonly protocol?: ProbeProtocol; readonly port?: number } = {},
  ): Promise<string> {
    const { protocol = "tcp", port = APPLICATION_PORT } = target;
    const address = this.pod(to).addresses[family];
    const result = await this.served.probe(from).try({ protocol, address, port });
    return answerOf(result);
  }

  get door(): LineCaller<DoorCalls> {
    return this.#door.caller;
  }

  async killDoor(): Promise<void> {
    this.#door.child.kill("SIGKILL");
    await this.#door.caller[Symbol.asyncDispose]();
  }

  async revive(): Promise<void> {
    this.#door = this.#openDoor();
    await this.#door.caller.call("listen", {});
    await this.agent.call("tell", { word: "living" });
  }

  /** Sends one Ethernet frame from a pod. */
  async sendFrame(pod: string, frame: Buffer): Promise<void> {
    const program = fileURLToPath(new URL("./raw-frame.ts", import.meta.url));
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", program, "eth0"];
    const { playground } = this.served;
    const sent = await playground.exec(this.pod(pod).netns, [...argv, frame.toString("hex")]);
    assert.equal(sent.code, 0, sent.stderr);
  }

  /** Ends the agent as a crash would, and starts another. */
  async restartAgent(): Promise<void> {
    this.#agent.child.kill("SIGKILL");
    await this.agent[Symbol.asyncDispose]();
    this.#agent = this.#openAgent();
  }

  /** Ends the agent and the worker; what they made stays. */
  async endHelpers(): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.#door.caller[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endHelpers();
    await this.served[Symbol.asyncDispose]();
  }

  #openAgent(): { readonly child: ChildProcess; readonly caller: LineCaller<IdentityAgentCalls> } {
    const child = this.#spawn("identity-agent.ts");
    return { child, caller: new LineCaller(child) };
  }

  #openDoor(): { readonly child: ChildProcess; readonly caller: LineCaller<DoorCalls> } {
    const child = this.#spawn("identity-door.ts");
    return { child, caller: new LineCaller(child) };
  }

  #spawn(program: string): ChildProcess {
    const path = fileURLToPath(new URL(`./${program}`, import.meta.url));
    const { playground, node } = this.served;
    const argv = [process.execPath, "--disable-warning=ExperimentalWarning", path];
    return playground.spawn(node.netns, argv);
  }
}

/** Who answered, in one word: a pod, a door, or the failure. */
export function answerOf(result: ProbeResult): string {
  return result.kind === "reply" ? (result.echo?.pod ?? "other") : result.kind;
}
