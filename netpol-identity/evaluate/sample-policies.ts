// A cluster with policies for tests: objects as the API says them, in a store, and the index of
// them.

import assert from "node:assert/strict";
import { makeIntern, makeJsonIntern } from "../../lib/kube/api/intern.ts";
import { parseClusterNetworkPolicy } from "../../lib/kube/api/cluster-network-policy.ts";
import { parseMeshPolicy } from "../../lib/kube/api/mesh-policy.ts";
import { parseNamespace } from "../../lib/kube/api/namespace.ts";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import { parseNode } from "../../lib/kube/api/node.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { type Pod, parsePod } from "../../lib/kube/api/pod.ts";
import { parseServiceAccount } from "../../lib/kube/api/service-account.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import { type KubeObject, type KubeStore, keyOf, makeStore } from "../../lib/kube/store.ts";

import type { Direction } from "../model/policy.ts";
import type { IsEnrolled } from "./carriers.ts";
import { PolicyIndex } from "./policy-index.ts";
import type { PolicySet, SetPeers, SetRule } from "./policy-set.ts";

type Labels = Readonly<Record<string, string>>;
type Spec = Readonly<Record<string, unknown>>;

export interface PolicyPod {
  readonly labels?: Labels;
  readonly addresses?: readonly string[];
  readonly account?: string;
  /** By name, on TCP. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly hostNetwork?: boolean;
  readonly phase?: string;
}

export class SamplePolicies {
  readonly store: KubeStore = makeStore([]);
  readonly index = new PolicyIndex({ trustDomain: "cluster.local" });
  /** As an agent's watch has them. */
  readonly #interns = {
    text: makeIntern(),
    labels: makeJsonIntern<Labels>(),
    ports: makeJsonIntern<Pod["ports"]>(),
  };
  #version = 0;

  update(isEnrolled: IsEnrolled = nobodyIsEnrolled): boolean {
    return this.index.update(this.store, isEnrolled);
  }

  /** Of a pod that has one. */
  set(pod: Pod, direction: Direction = "ingress"): PolicySet {
    return this.index.setOf(pod, direction) ?? assert.fail("no policy selects it");
  }

  /** Addresses in the groups of a rule. */
  among(rule: SetRule | undefined): readonly string[] {
    const { groups } = peersOf(rule);
    return groups.flatMap((group) => [...(this.index.groups.addresses(group) ?? [])]).sort();
  }

  /** Those of the first rule that a NetworkPolicy gave the pod. */
  members(pod: Pod, direction: Direction = "ingress"): readonly string[] {
    return this.among(this.set(pod, direction).network?.rules[0]);
  }

  /** @param key `namespace/name` */
  pod(key: string, pod: PolicyPod = {}): Pod {
    const { labels, addresses = [], account = "default", ports = {}, hostNetwork = false } = pod;
    const containers = [
      {
        ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
      },
    ];
    const spec = { serviceAccountName: account, hostNetwork, containers, nodeName: "node-1" };
    const status = { phase: pod.phase ?? "Running", podIPs: addresses.map((ip) => ({ ip })) };
    const value = { metadata: this.#metadata(key, labels), spec, status };
    return this.#put((one) => parsePod(one, this.#interns), value);
  }

  namespace(name: string, labels: Labels = {}): void {
    this.#put(parseNamespace, { metadata: this.#metadata(name, labels) });
  }

  account(key: string, labels: Labels = {}): void {
    this.#put(parseServiceAccount, { metadata: this.#metadata(key, labels) });
  }

  node(name: string, labels: Labels, address: string): void {
    const status = { addresses: [{ type: "InternalIP", address }] };
    this.#put(parseNode, { metadata: this.#metadata(name, labels), status });
  }

  networkPolicy(key: string, spec: Spec): void {
    this.#put(parseNetworkPolicy, { metadata: this.#metadata(key), spec });
  }

  accountPolicy(key: string, spec: Spec): void {
    this.#put(parseServiceAccountPolicy, { metadata: this.#metadata(key), spec });
  }

  clusterPolicy(name: string, spec: Spec): void {
    this.#put(parseClusterNetworkPolicy, { metadata: this.#metadata(name), spec });
  }

  meshPolicy(spec: Spec): void {
    this.#put(parseMeshPolicy, { metadata: this.#metadata("default"), spec });
  }

  remove(object: KubeObject): void {
    this.store.remove(object.kind, keyOf(object));
  }

  #metadata(key: string, labels: Labels = {}): Spec {
    const [namespace, name] = key.split("/");
    const resourceVersion = `${++this.#version}`;
    const place = name === undefined ? { name: namespace } : { namespace, name };
    return { ...place, uid: `uid-${key}`, resourceVersion, labels };
  }

  #put<T extends KubeObject>(parse: (value: unknown) => Parsed<T>, value: Spec): T {
    const parsed = parse(value);
    assert.ok(parsed.kind === "ok", JSON.stringify(parsed));
    assert.deepEqual(parsed.problems, []);
    this.store.put(parsed.object);
    return parsed.object;
  }
}

/** Of a rule that is about somebody. */
export function peersOf(rule: SetRule | undefined): SetPeers {
  return rule === undefined || rule.peers === "any" ? assert.fail("any") : rule.peers;
}

function nobodyIsEnrolled(): boolean {
  return false;
}
