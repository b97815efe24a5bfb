// Policies on one node, from the control process's side: what holds for whom, kept up with the
// store, and put into the forms in which the kernel, the workers and the lanes want it.

import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { heldPolicies } from "../evaluate/held-policies.ts";
import type { PolicySet } from "../evaluate/policy-set.ts";
import { PolicyIndex, type PolicySource } from "../evaluate/policy-index.ts";
import type { HeldPolicies } from "../model/enforcement-report.ts";
import { gateWorld } from "../plan/gate-world.ts";
import { LaneGate } from "../plan/lane-gate.ts";
import type { NetworkGate, NetworkWorld } from "../plan/network-world.ts";
import { isEmptyPolicyDelta, PolicyLedger } from "../plan/policy-ledger.ts";
import type { PolicyPlanDelta, PolicyPod } from "../plan/policy-plan.ts";
import type { TunnelPlan } from "../plan/tunnel-plan.ts";
import { workloadAddresses } from "../plan/workload-addresses.ts";
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
  readonly #faces = new WeakMap<Pod, PolicyPod>();
  #network: NetworkWorld | undefined;
  #known: HeldPolicies = new Map();
  #told: ReadonlySet<string> = new Set();
  #logGroup: number | undefined;
  #plan: TunnelPlan | undefined;
  #revision: number | undefined;

  constructor(parts: NodePoliciesParts) {
    this.#parts = parts;
    this.index = new PolicyIndex({ trustDomain: parts.trustDomain });
  }

  /** For the kernel; undefined before the first update. */
  get network(): NetworkWorld | undefined {
    return this.#network;
  }

  /** From the next change on the kernel tells of denials. @param group of nfnetlink_log */
  logTo(group: number): void {
    this.#logGroup = group;
  }

  /** Policies that the last update saw. */
  get known(): HeldPolicies {
    return this.#known;
  }

  /**
   * Takes over what changed. Services whose clients are others from now on are marked in the store.
   * @param plan who has an identity
   * @returns whether anything did
   */
  update(plan: TunnelPlan): boolean {
    const { store } = this.#parts;
    const isSamePlan = plan === this.#plan;
    if (!isSamePlan) {
      const { workloads, peers } = plan;
      this.#plan = plan;
      this.#isEnrolled = ({ addresses }) =>
        addresses.some((address) => workloads.has(address) || peers.has(address));
    }
    const isOthers = this.index.update(store, this.#isEnrolled);
    const isSame = isSamePlan && !isOthers && this.index.revision === this.#revision;
    this.#revision = this.index.revision;
    if (isSame && this.#network !== undefined) return false;
    this.#renew(plan);
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

  #isEnrolled = (_: Pod): boolean => false;

  #renew(plan: TunnelPlan): void {
    const { store, nodeName } = this.#parts;
    const { owned } = workloadAddresses([...store.pods.values()]);
    const sets = new Map<string, PolicySet>();
    const pods = new Map<string, PolicyPod>();
    for (const [address, pod] of owned) {
      const found = this.#setsOf(pod);
      for (const set of [found.ingress, found.egress]) if (set) sets.set(set.id, set);
      pods.set(address, this.#faceOf(pod, found));
    }
    const { groups } = this.index;
    this.#known = heldPolicies(store);
    this.#ledger.replace({ sets: sets.values(), groups, pods });
    this.#network = this.#networkOf(plan, owned);
    const node = store.nodes.get(nodeName);
    const nodeAddresses = node?.addresses.map(({ address }) => address) ?? [];
    const touched = this.gate.update(
      gateWorld({ nodeName, pods: store.pods.values(), index: this.index, plan, nodeAddresses }),
    );
    if (touched !== undefined) store.touch(touched);
  }

  #tellProblems(): void {
    const { store, nodeName, onProblem } = this.#parts;
    const problems = policyProblems(store);
    const local = problems.length === 0 ? [] : [...store.pods.values()];
    const names = new Set(
      local
        .filter((pod) => pod.nodeName === nodeName)
        .flatMap((pod) => DIRECTIONS.flatMap((way) => this.index.policiesOf(pod, way))),
    );
    const ours = problems.filter(({ object }) => names.has(object));
    const before = this.#told;
    this.#told = new Set(ours.map((problem) => JSON.stringify(problem)));
    for (const one of ours) if (!before.has(JSON.stringify(one))) onProblem(one);
  }

  #networkOf(plan: TunnelPlan, owned: ReadonlyMap<string, Pod>): NetworkWorld {
    const { store, nodeName } = this.#parts;
    const local = [...store.pods.values()].filter(
      (pod) => pod.nodeName === nodeName && !pod.hostNetwork && !pod.isOver,
    );
    return {
      pods: local
        .filter(({ addresses }) => addresses.length > 0)
        .map((pod) => {
          const { ingress, egress } = this.#setsOf(pod);
          const { addresses } = pod;
          return { addresses, ...(ingress && { ingress }), ...(egress && { egress }) };
        }),
      gates: this.#gatesOf(plan, owned),
      groups: this.index.groups,
      carriers: (group) => this.index.carriers(group),
      hold: local.some((pod) => {
        const { ingress, egress } = this.#setsOf(pod);
        return pod.addresses.length === 0 && (ingress !== undefined || egress !== undefined);
      }),
      podCidrs: store.nodes.get(nodeName)?.podCIDRs ?? [],
      ...(this.#logGroup !== undefined && { logGroup: this.#logGroup }),
    };
  }

  /** The same list as before while nothing differs. */
  #gatesOf({ workloads, peers }: TunnelPlan, owned: ReadonlyMap<string, Pod>) {
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

  /** The same object while it says the same. */
  #faceOf(pod: Pod, { ingress, egress }: PodSets): PolicyPod {
    const known = this.#faces.get(pod);
    if (known?.ingress === ingress?.id && known?.egress === egress?.id && known) return known;
    const face: PolicyPod = {
      uid: pod.uid,
      identity: this.#identityOf(pod),
      ...(ingress && { ingress: ingress.id }),
      ...(egress && { egress: egress.id }),
      ...(pod.nodeName === this.#parts.nodeName && { isLocal: true }),
    };
    this.#faces.set(pod, face);
    return face;
  }

  #identityOf({ namespace, serviceAccount }: Pod): string {
    return formatSpiffeId({ trustDomain: this.#parts.trustDomain, namespace, serviceAccount });
  }
}

function notEmpty(delta: PolicyPlanDelta): PolicyPlanDelta | undefined {
  return isEmptyPolicyDelta(delta) ? undefined : delta;
}
