// Plans again only what changed: a cluster's objects change all the time, and most changes say
// nothing about identities. No I/O; the time is an argument.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Kind, KubeStore } from "../../lib/kube/store.ts";
import { type EnrolmentMode, IDENTITY_LABEL } from "../model/enrolment.ts";
import { type EnrolmentLabels, readEnrolmentLabels } from "./enrolment.ts";
import type { UnsupportedAddresses } from "./guard-binding.ts";
import { type LeavingPods, nextLeavingPods } from "./leaving-pods.ts";
import { forgetsAtMs, nextPeerNodes, type PeerNodes } from "./peer-nodes.ts";
import {
  ALL_SUPPORTED,
  makeTunnelPlan,
  type TunnelPlan,
  type TunnelSnapshot,
} from "./tunnel-plan.ts";

export type TunnelStore = Pick<
  KubeStore,
  "services" | "slicesOf" | "serviceAccounts" | "namespaces" | "pods" | "revisionOf"
>;

export interface TunnelSettings {
  readonly nodeName: string;
  readonly trustDomain: string;
  /** Of pods that no label speaks for; none: labels count for nothing either. */
  readonly meshDefault: EnrolmentMode | "none";
}

const NO_LABELS: EnrolmentLabels = {
  services: new Map(),
  serviceAccounts: new Map(),
  namespaces: new Map(),
  otherwise: { mode: "off", rule: "there are no identities on this node" },
  problems: [],
};

export class TunnelPlanner {
  readonly #store: TunnelStore;
  readonly #settings: TunnelSettings;
  readonly #plan: (snapshot: TunnelSnapshot) => TunnelPlan;
  readonly #labels: Remembered<EnrolmentLabels>;
  readonly #hasServices: Remembered<boolean>;
  #peerNodes: PeerNodes = new Map();
  #leaving: LeavingPods = new Map();
  #last:
    | {
        readonly podRevision: number;
        readonly unsupported: UnsupportedAddresses;
        readonly labels: EnrolmentLabels;
        readonly plan: TunnelPlan;
      }
    | undefined;

  constructor(store: TunnelStore, settings: TunnelSettings) {
    this.#store = store;
    this.#settings = settings;
    this.#plan = makeTunnelPlan(settings.trustDomain);
    const { meshDefault } = settings;
    this.#labels = new Remembered(() =>
      meshDefault === "none" ? NO_LABELS : readEnrolmentLabels(store, meshDefault),
    );
    this.#hasServices = new Remembered(() =>
      store.services.values().some(({ labels }) => labels[IDENTITY_LABEL] !== undefined),
    );
  }

  /**
   * The plan of the moment; the same object as before when nothing changed that it rests on. To be
   * asked once the store is synced, for what is not known yet looks like what is not enrolled.
   * @param nowMs monotonic
   * @param unsupported another object when it says something else
   */
  plan(nowMs: number, unsupported: UnsupportedAddresses = ALL_SUPPORTED): TunnelPlan {
    const podRevision = this.#store.revisionOf("Pod");
    const labels = this.labels();
    const last = this.#last;
    const isSame =
      last?.podRevision === podRevision &&
      last.labels === labels &&
      last.unsupported === unsupported;
    if (isSame && nowMs < this.nextMs) return last.plan;
    const pods = this.#podsToAsk();
    this.#peerNodes = nextPeerNodes(this.#peerNodes, pods, nowMs);
    const workloads = last?.plan.workloads.values() ?? [];
    const look = { workloads, pods, labels, nowMs };
    this.#leaving = nextLeavingPods(this.#leaving, look);
    const plan = this.#plan({
      nodeName: this.#settings.nodeName,
      pods,
      labels,
      peerNodes: this.#peerNodes,
      leaving: this.#leaving,
      unsupported,
    });
    this.#last = { podRevision, labels, unsupported, plan };
    return plan;
  }

  /** Without identities there are no peers. */
  #podsToAsk(): readonly Pod[] {
    const { nodeName, meshDefault } = this.#settings;
    const pods = this.#store.pods.values();
    return meshDefault === "none"
      ? pods.filter((pod) => pod.nodeName === nodeName).toArray()
      : [...pods];
  }

  /** What labels say at the moment: for telling somebody why. */
  labels(): EnrolmentLabels {
    const kinds: readonly Kind[] = ["Service", "ServiceAccount", "Namespace"];
    const isMoved = this.#hasServices.at(this.#revisions(["Service"]));
    // Slices change most of all, and matter only where a Service has the label.
    return this.#labels.at(this.#revisions(isMoved ? [...kinds, "EndpointSlice"] : kinds));
  }

  /** When to plan again although nothing changes, monotonic ms; Infinity for never. */
  get nextMs(): number {
    return Math.min(forgetsAtMs(this.#peerNodes), ...this.#leaving.values());
  }

  #revisions(kinds: readonly Kind[]): string {
    return kinds.map((kind) => this.#store.revisionOf(kind)).join();
  }
}

/** A value that is read again when what it rests on has another revision. */
class Remembered<T> {
  readonly #read: () => T;
  #known: { readonly revision: string; readonly value: T } | undefined;

  constructor(read: () => T) {
    this.#read = read;
  }

  at(revision: string): T {
    if (this.#known?.revision !== revision) this.#known = { revision, value: this.#read() };
    return this.#known.value;
  }
}
