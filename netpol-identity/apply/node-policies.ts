// Policies on one node, from the control process's side: what holds for whom, kept up with the
// store, and put into the forms in which the kernel, the workers and the lanes want it.

import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import type { IsEnrolled } from "../evaluate/carriers.ts";
import { heldPolicies } from "../evaluate/held-policies.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import { PolicyIndex, type PolicySource } from "../evaluate/policy-index.ts";
import type { HeldPolicies } from "../model/enforcement-report.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import { gateWorld, otherIdentities } from "../plan/gate-world.ts";
import { HostCarriers } from "../plan/host-carriers.ts";
import { LaneGate } from "../plan/lane-gate.ts";
import type { NetworkGate, NetworkWorld } from "../plan/network-world.ts";
import { isEmptyPolicyDelta, PolicyLedger } from "../plan/policy-ledger.ts";
import type { PolicyPlanDelta } from "../plan/policy-plan.ts";
import { PolicyPods } from "../plan/policy-pods.ts";
import { shutPolicies } from "../plan/shut-pods.ts";
import type { TunnelPlan } from "../plan/tunnel-plan.ts";
import { policyProblems } from "./policy-problems.ts";

export interface NodePoliciesParts {
  readonly nodeName: string;
  readonly trustDomain: string;
  readonly store: PolicySource & Pick<KubeStore, "touch" | "problems">;
  /** Told once of each thing that is wrong with a policy that is about a pod of this node. */
  readonly onProblem: (problem: Problem) => void;
}

/** What one look at the cluster found, for one pod. */
interface PodSets {
  readonly ingress: PolicySet | undefined;
  readonly egress: PolicySet | undefined;
}

const DIRECTIONS = ["ingress", "egress"] as const;

export class NodePolicies {
  readonly index: PolicyIndex;
  readonly gate = new LaneGate();
  readonly #parts: NodePoliciesParts;
  readonly #ledger = new PolicyLedger();
  readonly #pods: PolicyPods;
  #network: NetworkWorld | undefined;
  #known: HeldPolicies = new Map();
  #shut: ReadonlyMap<string, string> = new Map();
  #told: ReadonlySet<string> = new Set();
  #logGroup: number | undefined;
  #host = new HostCarriers(undefined, []);
  #plan: TunnelPlan | undefined;
  #revision: number | undefined;

  constructor(parts: NodePoliciesParts) {
    this.#parts = parts;
    this.index = new PolicyIndex({ trustDomain: parts.trustDomain });
    this.#pods = new PolicyPods(parts);
  }

  /** For the kernel; undefined before the first update. */
  get network(): NetworkWorld | undefined {
    return this.#network;
  }

  /** From the next change on the kernel tells of denials. @param group of nfnetlink_log */
  logTo(group: number): void {
    this.#logGroup = group;
    this.gate.logGroup = group;
  }

  /** Policies that the last update saw. */
  get known(): HeldPolicies {
    return this.#known;
  }

  /** By uid, those whose rules about requests are too many for a pod of this node, and why. */
  get shut(): ReadonlyMap<string, string> {
    return this.#shut;
  }

  /**
   * Takes over what changed. Services whose clients are others from now on are marked in the store.
   * @param plan who has an identity
   * @returns whether anything did
   */
  update(plan: TunnelPlan): boolean {
    const { store } = this.#parts;
    const before = this.#plan;
    const isSamePlan = plan === before;
    if (!isSamePlan) this.#enrol(plan);
    const isOthers = this.index.update(store, this.#isEnrolled);
    const touched = this.#pods.update(this.index);
    const isSame = isSamePlan && !isOthers && this.index.revision === this.#revision;
    this.#revision = this.index.revision;
    if (isSame && touched.size === 0 && this.#network !== undefined) return false;
    this.#renew(plan, touched);
    this.#renewGate(plan, before, touched);
    this.#tellProblems();
    return true;
  }

  /** What workers do not know yet; undefined for nothing. */
  takeFresh(): PolicyPlanDelta | undefined {
    return notEmpty(this.#ledger.takeFresh());
  }

  /** What workers are to forget; undefined for nothing. */
  takeGone(): PolicyPlanDelta | undefined {
    return notEmpty(this.#ledger.takeGone());
  }

  /** For a worker that starts. */
  whole(): PolicyPlanDelta {
    return this.#ledger.whole();
  }

  #isEnrolled: IsEnrolled = () => false;

  /** The same function while it says the same: another one has the index ask about all pods. */
  #enrol(plan: TunnelPlan): void {
    const { workloads, peers } = plan;
    const before = this.#plan;
    this.#plan = plan;
    if (before && isSameKeys(before.workloads, workloads) && isSameKeys(before.peers, peers))
      return;
    this.#isEnrolled = ({ addresses }) =>
      addresses.some((address) => workloads.has(address) || peers.has(address));
  }

  #renew(plan: TunnelPlan, touched: Iterable<string>): void {
    const { store, nodeName } = this.#parts;
    const { index } = this;
    const { sets, faces: pods } = this.#pods;
    this.#known = heldPolicies(store);
    const policies = store.serviceAccountPolicies;
    this.#shut = shutPolicies({ pods: this.#pods.local, index, policies });
    this.#ledger.replace({ sets, groups: index.groups, pods, touched });
    const node = store.nodes.get(nodeName);
    const nodeAddresses = node?.addresses.map(({ address }) => address) ?? [];
    this.#host = hostFor(this.#host, plan.host?.identity, nodeAddresses);
    this.#network = this.#networkOf(plan);
  }

  /** @param before the plan of the last time */
  #renewGate(plan: TunnelPlan, before: TunnelPlan | undefined, touched: ReadonlySet<string>): void {
    const { owners, local } = this.#pods;
    const nodeAddresses = this.#host.addresses;
    const world = gateWorld({ owners, local, index: this.index, plan, nodeAddresses });
    const others = before && touched.union(otherIdentities(before, plan));
    const services = this.gate.update(world, others);
    if (services !== undefined) this.#parts.store.touch(services);
  }

  #tellProblems(): void {
    const { store, onProblem } = this.#parts;
    const problems = policyProblems(store);
    const local = problems.length === 0 ? [] : [...this.#pods.local];
    const names = new Set(
      local.flatMap((pod) => DIRECTIONS.flatMap((way) => this.index.policiesOf(pod, way))),
    );
    const ours = problems.filter(({ object }) => names.has(object));
    const before = this.#told;
    this.#told = new Set(ours.map((problem) => JSON.stringify(problem)));
    for (const one of ours) if (!before.has(JSON.stringify(one))) onProblem(one);
  }

  #networkOf(plan: TunnelPlan): NetworkWorld {
    const { store, nodeName } = this.#parts;
    const local = [...this.#pods.local];
    const host = this.#host;
    return {
      pods: local
        .filter(({ addresses }) => addresses.length > 0)
        .map((pod) => {
          const { ingress, egress } = this.#setsOf(pod);
          const { addresses } = pod;
          return { addresses, ...(ingress && { ingress }), ...(egress && { egress }) };
        }),
      gates: this.#gatesOf(plan),
      groups: this.index.groups,
      carriers: (group) =>
        host.join(this.index.carriers(group), this.index.groups.identities(group)),
      hostAddresses: host.addresses,
      hold: local.some((pod) => {
        const { ingress, egress } = this.#setsOf(pod);
        return pod.addresses.length === 0 && (ingress !== undefined || egress !== undefined);
      }),
      podCidrs: store.nodes.get(nodeName)?.podCIDRs ?? [],
      ...(this.#logGroup !== undefined && { logGroup: this.#logGroup }),
    };
  }

  /** The same list as before while nothing differs. */
  #gatesOf({ workloads, peers }: TunnelPlan): readonly NetworkGate[] {
    const { owned } = this.#pods.owners;
    const gates: NetworkGate[] = [];
    for (const address of [...workloads.keys(), ...peers.keys()]) {
      const pod = owned.get(address);
      const ingress = pod && this.#setsOf(pod).ingress;
      if (ingress !== undefined) gates.push({ address, ingress });
    }
    const before = this.#network?.gates ?? [];
    const isSame =
      before.length === gates.length &&
      before.every(({ address, ingress }, i) => {
        const gate = gates[i];
        return gate?.address === address && gate.ingress === ingress;
      });
    return isSame ? before : gates;
  }

  #setsOf(pod: Pod): PodSets {
    const { index } = this;
    return { ingress: index.setOf(pod, "ingress"), egress: index.setOf(pod, "egress") };
  }
}

/** The same as before while it is equal. */
function hostFor(
  before: HostCarriers,
  identity: SpiffeUri | undefined,
  addresses: readonly string[],
): HostCarriers {
  const isSame = before.identity === identity && before.addresses.join() === addresses.join();
  return isSame ? before : new HostCarriers(identity, addresses);
}

function notEmpty(delta: PolicyPlanDelta): PolicyPlanDelta | undefined {
  return isEmptyPolicyDelta(delta) ? undefined : delta;
}

function isSameKeys(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a.size === b.size && a.keys().every((key) => b.has(key));
}
