// Places agents in a live cluster and takes them away again.

import { AppsV1Api, CoreV1Api, type KubeConfig } from "@kubernetes/client-node";

import type { Clock } from "../../lib/clock/clock.ts";
import { parseAddress } from "../../lib/ip/address.ts";
import type { Agent } from "../agent-identity.ts";
import { ConformanceError } from "../conformance-error.ts";
import { agentOf, agentPod, type PlannedPod, planAgentPods, waitingReason } from "./agent-pods.ts";
import { apiCall, apiCallOrNothing } from "./api-call.ts";
import { RefusedError } from "./cluster.ts";
import { runLabel } from "./kube-cluster.ts";

/** More nodes show nothing new and cost time. */
const maximumNodes = 3;
/** An image may have to be pulled first. */
const readyLimitMs = 180_000;
const goneLimitMs = 120_000;
const pollMs = 500;

export interface DeploymentOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly run: string;
  readonly image: string;
  readonly clock: Clock;
}

/** Agents in pods, and the namespace they live in. */
export class AgentDeployment {
  readonly #options: DeploymentOptions;
  readonly #core: CoreV1Api;
  #ownsNamespace = false;

  constructor(options: DeploymentOptions) {
    this.#options = options;
    this.#core = options.config.makeApiClient(CoreV1Api);
  }

  /**
   * Makes the namespace and the agents, on at most three of the nodes, and waits for them.
   * Where hostNetwork is refused there are only pods.
   * @throws ConformanceError `unreachable` when they do not become ready in time
   */
  async deploy(nodes: readonly string[], signal: AbortSignal): Promise<readonly Agent[]> {
    await this.#makeNamespace(signal);
    const planned = planAgentPods(nodes.slice(0, maximumNodes));
    const created: PlannedPod[] = [];
    for (const pod of planned) if (await this.#create(pod)) created.push(pod);
    return Promise.all(created.map((pod) => this.#ready(pod, signal)));
  }

  /** Removes agents and, if it was made for the run, the namespace. */
  async remove(): Promise<void> {
    const { namespace, clock } = this.#options;
    if (this.#ownsNamespace) {
      const call = this.#core.deleteNamespace({ name: namespace });
      await apiCallOrNothing(clock, `delete namespace "${namespace}"`, call);
      return;
    }
    const mine = { namespace, labelSelector: runLabel, gracePeriodSeconds: 1 };
    await apiCall(clock, "delete Pods", this.#core.deleteCollectionNamespacedPod(mine));
  }

  async #makeNamespace(signal: AbortSignal): Promise<void> {
    const { namespace: name, run, clock } = this.#options;
    const read = () =>
      apiCallOrNothing(clock, `read namespace "${name}"`, this.#core.readNamespace({ name }));
    const there = await read();
    if (there !== undefined && there.metadata?.labels?.[runLabel] === undefined) return;
    if (there !== undefined) {
      // Ours, from a run that ended without clean-up.
      const call = this.#core.deleteNamespace({ name });
      await apiCallOrNothing(clock, `delete namespace "${name}"`, call);
      const gone = async (): Promise<true | undefined> =>
        (await read()) === undefined ? true : undefined;
      await this.#until(gone, goneLimitMs, `wait for namespace "${name}" to go`, signal);
    }
    // hostNetwork is for privileged namespaces only, where Pod Security admission is on.
    const labels = { [runLabel]: run, "pod-security.kubernetes.io/enforce": "privileged" };
    const body = { metadata: { name, labels } };
    await apiCall(clock, `create namespace "${name}"`, this.#core.createNamespace({ body }));
    this.#ownsNamespace = true;
  }

  /** @returns false when this cluster does not allow such a Pod in a node's network */
  async #create(planned: PlannedPod): Promise<boolean> {
    const { namespace, image, run, clock } = this.#options;
    const body = agentPod(planned, image, { [runLabel]: run });
    const create = () =>
      apiCall(
        clock,
        `create Pod "${planned.name}"`,
        this.#core.createNamespacedPod({ namespace, body }),
      );
    // Admission refuses Pods until the namespace has its ServiceAccount.
    for (let attempt = 0; ; attempt += 1) {
      try {
        await create();
        return true;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        const early = error.message.includes("serviceaccount") && attempt < 20;
        if (!early && planned.place === "host") return false;
        if (!early) throw error;
        await clock.sleep(pollMs);
      }
    }
  }

  async #ready(planned: PlannedPod, signal: AbortSignal): Promise<Agent> {
    const { namespace, clock } = this.#options;
    const { name } = planned;
    let reason = "unknown";
    const look = async (): Promise<Agent | undefined> => {
      const call = this.#core.readNamespacedPod({ namespace, name });
      const pod = await apiCall(clock, `read Pod "${name}"`, call);
      reason = waitingReason(pod);
      return agentOf(planned, pod);
    };
    const what = () => `wait for Pod "${name}" on node "${planned.node}" (${reason})`;
    const agent = await this.#until(look, readyLimitMs, what, signal);
    const addresses = agent.addresses.map((address) => parseAddress(address));
    return { ...agent, addresses: addresses.filter((address) => address !== undefined) };
  }

  async #until<T>(
    look: () => Promise<T | undefined>,
    limitMs: number,
    what: string | (() => string),
    signal: AbortSignal,
  ): Promise<T> {
    const { clock } = this.#options;
    const startMs = clock.monotonicMs();
    for (;;) {
      signal.throwIfAborted();
      const found = await look();
      if (found !== undefined) return found;
      if (clock.monotonicMs() - startMs > limitMs) {
        const words = typeof what === "string" ? what : what();
        throw new ConformanceError("unreachable", `Cannot ${words}: ${limitMs} ms have passed`);
      }
      await clock.sleep(pollMs, signal);
    }
  }
}

/**
 * The image of the `innermesh-node` DaemonSet, which holds the agent too.
 * @throws ConformanceError `usage` where it does not run: the caller has to name an image
 */
export async function findAgentImage(config: KubeConfig, clock: Clock): Promise<string> {
  const place = { namespace: "kube-system", name: "innermesh-node" };
  const call = config.makeApiClient(AppsV1Api).readNamespacedDaemonSet(place);
  const daemonSet = await apiCallOrNothing(clock, 'read DaemonSet "innermesh-node"', call);
  const image = daemonSet?.spec?.template.spec?.containers[0]?.image;
  if (image !== undefined) return image;
  const why = 'DaemonSet "innermesh-node" is not in kube-system; name an image by --image';
  throw new ConformanceError("usage", `Cannot choose an image for agents: ${why}`);
}
