// A cluster as `can`, `why` and `policy diff` ask about it: policies indexed, names and addresses
// looked up, and who proves what to whom.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { CanEnd } from "../../netpol-identity/evaluate/can.ts";
import { PolicyIndex } from "../../netpol-identity/evaluate/policy-index.ts";
import { enrolmentOf } from "../../netpol-identity/plan/enrolment.ts";
import { nextPeerNodes, type PeerNodes } from "../../netpol-identity/plan/peer-nodes.ts";
import { makeTunnelPlan, NOBODY, type TunnelPlan } from "../../netpol-identity/plan/tunnel-plan.ts";
import { workloadAddresses } from "../../netpol-identity/plan/workload-addresses.ts";
import type { Snapshot } from "../snapshot.ts";

/** Somebody by one of its addresses. */
export interface Party {
  readonly address: string;
  readonly pod?: Pod;
  readonly node?: string;
}

export class CanWorld {
  readonly snapshot: Snapshot;
  readonly index: PolicyIndex;
  readonly #owned: ReadonlyMap<string, Pod>;
  readonly #nodes: ReadonlyMap<string, string>;
  readonly #peerNodes: PeerNodes;
  readonly #plans = new Map<string, TunnelPlan>();

  /** @param snapshot whose store says what holds, from now on */
  constructor(snapshot: Snapshot) {
    const { store, settings } = snapshot;
    this.snapshot = snapshot;
    this.#owned = workloadAddresses(store.pods.values()).owned;
    this.#nodes = new Map(
      store.nodes
        .values()
        .flatMap(({ name, addresses }) => addresses.map(({ address }) => [address, name] as const)),
    );
    const peers = nextPeerNodes(new Map(), store.pods.values(), 0);
    // Files need not list our own agents: there they are taken to be everywhere.
    const isBare = settings.source.kind === "directory" && peers.size === 0;
    const everywhere = store.pods.values().map(({ nodeName }) => [nodeName, "with-agent"] as const);
    this.#peerNodes = isBare ? new Map(everywhere) : peers;
    this.index = new PolicyIndex({ trustDomain: settings.identity.trustDomain });
    this.index.update(store, () => false);
  }

  /** Whoever has the address. */
  at(address: string): Party {
    const pod = this.#owned.get(address);
    if (pod !== undefined) return { address, pod };
    const node = this.#nodes.get(address);
    return { address, ...(node !== undefined && { node }) };
  }

  /** A pod by each of its addresses; one of its node's network has its node's. */
  addressesOf(pod: Pod): readonly Party[] {
    if (!pod.hostNetwork) return pod.addresses.map((address) => ({ address, pod }));
    const own = this.snapshot.store.nodes.get(pod.nodeName)?.addresses ?? [];
    return own.map(({ address }) => ({ address, node: pod.nodeName }));
  }

  /** The two as they meet: what each proves is settled by the client's node. */
  meet(client: Party, server: Party): { readonly client: CanEnd; readonly server: CanEnd } {
    const plan = this.#planOf(client.pod?.nodeName ?? server.pod?.nodeName ?? "");
    return {
      client: { ...client, ...identityIn(plan?.workloads, client) },
      server: {
        ...server,
        ...(identityIn(plan?.workloads, server) ?? identityIn(plan?.peers, server)),
        isStrict: this.#isStrict(server),
      },
    };
  }

  #isStrict({ pod }: Party): boolean {
    const { identities } = this.snapshot;
    if (pod === undefined || identities === undefined || pod.ambientRedirection) return false;
    return enrolmentOf(pod, identities.labels).mode === "strict";
  }

  #planOf(nodeName: string): TunnelPlan | undefined {
    const { store, settings, identities } = this.snapshot;
    if (identities === undefined || nodeName === "") return undefined;
    const known = this.#plans.get(nodeName);
    if (known !== undefined) return known;
    const plan = makeTunnelPlan(settings.identity.trustDomain)({
      nodeName,
      pods: store.pods.values(),
      labels: identities.labels,
      peerNodes: this.#peerNodes,
      leaving: new Map(),
    });
    this.#plans.set(nodeName, plan);
    return plan;
  }
}

function identityIn(
  known: ReadonlyMap<string, { readonly identity: string }> | undefined,
  { address, pod }: Party,
): { readonly identity: string } | undefined {
  const identity = pod === undefined ? undefined : known?.get(address)?.identity;
  return identity === undefined || identity === NOBODY ? undefined : { identity };
}
