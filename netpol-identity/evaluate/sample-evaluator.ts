// The evaluator over a sample cluster: objects are read as agents read them, and flows judged at
// both ends.

import assert from "node:assert/strict";
import { parseNamespace } from "../../lib/kube/api/namespace.ts";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { parsePod, type Pod } from "../../lib/kube/api/pod.ts";
import { type Kind, type KubeObject, type KubeStore, makeStore } from "../../lib/kube/store.ts";
import type { Direction } from "../model/policy.ts";
import { judge } from "./judge.ts";
import { PolicyIndex } from "./policy-index.ts";
import type { Groups, PolicySet } from "./policy-set.ts";
import type { Manifest, PolicyObjects } from "./sample-policy-objects.ts";
import type { Flow, Verdict } from "./verdict.ts";

/** By addresses; ICMP has port 0. */
export interface SampleFlow {
  readonly from: string;
  readonly to: string;
  readonly protocol: Flow["protocol"];
  readonly port: number;
}

export interface HeldPod {
  readonly addresses: readonly string[];
  readonly ingress?: PolicySet;
  readonly egress?: PolicySet;
}

const DIRECTIONS = ["ingress", "egress"] as const;
const KINDS: readonly Kind[] = ["Namespace", "Pod", "NetworkPolicy"];
const OUTSIDE: Verdict = { kind: "allow", rule: "it is no pod" };

export class SampleEvaluator {
  readonly #store: KubeStore = makeStore(KINDS);
  readonly #index = new PolicyIndex({ trustDomain: "cluster.local" });
  readonly #pods = new Map<string, Pod>();
  #version = 0;

  /** Takes the place of what it held; the index learns of the difference. */
  hold({ policies, namespaces, pods }: PolicyObjects): void {
    const all: readonly (readonly [Kind, readonly Manifest[], Parse])[] = [
      ["Namespace", namespaces, parseNamespace],
      ["Pod", pods, parsePod],
      ["NetworkPolicy", policies, parseNetworkPolicy],
    ];
    for (const [kind, manifests, parse] of all) {
      this.#store.replace(
        kind,
        manifests.map((one) => this.#read(one, parse)),
      );
    }
    this.#index.update(this.#store, () => false);
    this.#pods.clear();
    for (const pod of this.#store.pods.values()) {
      for (const address of pod.addresses) this.#pods.set(address, pod);
    }
  }

  /** What the client's node says of it, where the client is a pod. */
  egress({ from, to, protocol, port }: SampleFlow): Verdict {
    return this.#judge("egress", from, { address: to, protocol, port, identity: null });
  }

  /** What the server's node says of it, where the server is a pod. */
  ingress({ from, to, protocol, port }: SampleFlow): Verdict {
    return this.#judge("ingress", to, { address: from, protocol, port, identity: null });
  }

  /** Pods of a node and what holds for them: what its kernel is told. */
  podsOf(node: string): readonly HeldPod[] {
    const pods = this.#store.pods.values().filter(({ nodeName }) => nodeName === node);
    return [...pods].map((pod) => {
      const [ingress, egress] = DIRECTIONS.map((one) => this.#index.setOf(pod, one));
      const { addresses } = pod;
      return { addresses, ...(ingress && { ingress }), ...(egress && { egress }) };
    });
  }

  get groups(): Groups {
    return this.#index.groups;
  }

  #judge(direction: Direction, subject: string, flow: Flow): Verdict {
    const pod = this.#pods.get(subject);
    if (pod === undefined) return OUTSIDE;
    return judge(this.#index.setOf(pod, direction), flow, this.#index.groups);
  }

  #read(manifest: Manifest, parse: Parse): KubeObject {
    const metadata = manifest["metadata"] as Manifest;
    const resourceVersion = `${++this.#version}`;
    const read = parse({ ...manifest, metadata: { ...metadata, resourceVersion } });
    assert(read.kind === "ok", JSON.stringify(read));
    assert.deepEqual(read.problems, []);
    return read.object;
  }
}

type Parse = (value: unknown) => Parsed<KubeObject>;
