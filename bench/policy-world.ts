// A cluster with policies, of any size: fifty namespaces of ten apps each, pods of every app, and
// policies that are about apps and name others by labels, namespaces and blocks. Always the same.

import assert from "node:assert/strict";
import { type Labels, makeIntern, makeJsonIntern } from "../lib/kube/api/intern.ts";
import { parseNamespace } from "../lib/kube/api/namespace.ts";
import { parseNetworkPolicy } from "../lib/kube/api/network-policy.ts";
import type { Parsed } from "../lib/kube/api/parsed.ts";
import { parsePod, type Pod } from "../lib/kube/api/pod.ts";
import type { KubeObject, KubeStore } from "../lib/kube/store.ts";

export const NODE = "node-1";
/** Pods of the node that is measured: as many as a kubelet takes. */
export const LOCAL_PODS = 110;
const NAMESPACES = 50;
const APPS = 10;
const TEAMS = 5;
/** Every fourth pod of an app is one that its whole namespace hears. */
const FRONT_EVERY = 4;
/** A prime that is in no number of pods: spreads this node's pods over all apps. */
const STRIDE = 7919;

/** Objects as the API says them, by number. */
export class PolicyWorld {
  readonly #store: KubeStore;
  readonly #pods: number;
  /** As an agent's watch has them. */
  readonly #interns = {
    text: makeIntern(),
    labels: makeJsonIntern<Labels>(),
    ports: makeJsonIntern<Pod["ports"]>(),
  };
  readonly #onObject: (object: unknown) => void;
  #version = 0;

  /** @param onObject gets each object as the API says it */
  constructor(
    store: KubeStore,
    size: { readonly pods: number; readonly policies: number },
    onObject: (object: unknown) => void = () => {},
  ) {
    this.#store = store;
    this.#onObject = onObject;
    this.#pods = size.pods;
    for (let i = 0; i < NAMESPACES; i++) this.putNamespace(i, `team-${i % TEAMS}`);
    for (let i = 0; i < size.pods; i++) this.putPod(i);
    for (let i = 0; i < size.policies; i++) this.putPolicy(i);
  }

  /** @param other what differs from how it was made */
  putPod(number: number, other: { readonly app?: number; readonly role?: string } = {}): Pod {
    const app = (other.app ?? this.appOf(number)) % APPS;
    const { role = this.isFront(number) ? "front" : "back" } = other;
    const name = `pod-${number}`;
    const labels = { app: `app-${app}`, role, "pod-template-hash": `${app}f0c1` };
    const ports = [
      { name: "http", containerPort: 8080 },
      { name: "metrics", containerPort: 9090 },
    ];
    return this.#put((value) => parsePod(value, this.#interns), {
      metadata: { ...this.#metadata(name), namespace: namespaceOf(number), labels },
      spec: {
        nodeName: this.isLocal(number) ? NODE : `node-${2 + (number % 90)}`,
        serviceAccountName: `app-${app}`,
        containers: [{ name: "server", image: "server", ports }],
      },
      status: { phase: "Running", podIPs: addressesOf(number).map((ip) => ({ ip })) },
    });
  }

  appOf(number: number): number {
    return Math.floor(number / NAMESPACES) % APPS;
  }

  /** Equal for pods of one app in one namespace. */
  kindOf(number: number): string {
    return `${namespaceOf(number)} ${this.appOf(number)}`;
  }

  /** Another one of that app. @param place 0: itself */
  alike(number: number, place: number): number {
    return (number + place * NAMESPACES * APPS) % this.#pods;
  }

  isFront(number: number): boolean {
    return Math.floor(number / (NAMESPACES * APPS)) % FRONT_EVERY === 0;
  }

  isLocal(number: number): boolean {
    return (number * STRIDE) % this.#pods < LOCAL_PODS;
  }

  /** Numbers of this node's pods. */
  localPods(): readonly number[] {
    return Array.from({ length: this.#pods }, (_, i) => i).filter((i) => this.isLocal(i));
  }

  putNamespace(number: number, team: string): void {
    const name = namespaceOf(number);
    const labels = { "kubernetes.io/metadata.name": name, team };
    this.#put(parseNamespace, { metadata: { ...this.#metadata(name), labels } });
  }

  /** About the app of that pod in its namespace; the first 500 are about one each. */
  putPolicy(number: number, pod = number): void {
    const app = this.appOf(pod);
    const near = { podSelector: { matchLabels: { role: "front" } } };
    const far = {
      namespaceSelector: { matchLabels: { team: `team-${number % TEAMS}` } },
      podSelector: { matchLabels: { app: `app-${(app + 1) % APPS}` } },
    };
    const next = { podSelector: { matchLabels: { app: `app-${(app + 2) % APPS}` } } };
    const office = {
      ipBlock: { cidr: `172.${16 + (number % 16)}.0.0/16`, except: exceptions(number) },
    };
    const world = { ipBlock: { cidr: "0.0.0.0/0", except: ["10.0.0.0/8", "172.16.0.0/12"] } };
    const dns = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "ns-0" } } };
    this.#put(parseNetworkPolicy, {
      metadata: { ...this.#metadata(`policy-${number}`), namespace: namespaceOf(pod) },
      spec: {
        podSelector: { matchLabels: { app: `app-${app}` } },
        policyTypes: ["Ingress", "Egress"],
        ingress: [
          { from: [near, far], ports: [{ port: "http" }, { port: 9_000, endPort: 9_100 }] },
          { from: [office], ports: [{ port: 443 + (number % 7) }] },
        ],
        egress: [
          { to: [near, next], ports: [{ port: "http" }] },
          { to: [dns], ports: [{ protocol: "UDP", port: 53 }] },
          { to: [world], ports: [{ port: 443 }] },
        ],
      },
    });
  }

  removePolicy(number: number, pod = number): void {
    this.#store.remove("NetworkPolicy", `${namespaceOf(pod)}/policy-${number}`);
  }

  #metadata(name: string): { readonly [key: string]: string } {
    return { name, uid: `uid-${name}`, resourceVersion: `${++this.#version}` };
  }

  #put<T extends KubeObject>(parse: (value: unknown) => Parsed<T>, value: unknown): T {
    this.#onObject(value);
    const parsed = parse(value);
    assert(parsed.kind === "ok" && parsed.problems.length === 0, JSON.stringify(parsed));
    this.#store.put(parsed.object);
    return parsed.object;
  }
}

export function addressesOf(pod: number): readonly [string, string] {
  return [`10.64.${Math.floor(pod / 250)}.${1 + (pod % 250)}`, `fd64::${(1 + pod).toString(16)}`];
}

function namespaceOf(number: number): string {
  return `ns-${number % NAMESPACES}`;
}

function exceptions(number: number): readonly string[] {
  return [`172.${16 + (number % 16)}.${number % 256}.0/24`];
}
