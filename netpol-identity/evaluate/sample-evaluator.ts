// The evaluator over a sample cluster: objects are read as agents read them, and flows judged at
// both ends.

import assert from "node:assert/strict";
import { parseClusterNetworkPolicy } from "../../lib/kube/api/cluster-network-policy.ts";
import { parseNamespace } from "../../lib/kube/api/namespace.ts";
import { parseNetworkPolicy } from "../../lib/kube/api/network-policy.ts";
import type { Parsed } from "../../lib/kube/api/parsed.ts";
import { parsePod, type Pod } from "../../lib/kube/api/pod.ts";
import { parseServiceAccountPolicy } from "../../lib/kube/api/service-account-policy.ts";
import { type Kind, type KubeObject, type KubeStore, makeStore } from "../../lib/kube/store.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
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
  /** What a client that is no pod proves; nothing by default. */
  readonly identity?: string;
}

export interface HeldPod {
  readonly addresses: readonly string[];
  readonly ingress?: PolicySet;
  readonly egress?: PolicySet;
}

type Parse = (value: unknown) => Parsed<KubeObject>;

const DIRECTIONS = ["ingress", "egress"] as const;
const PARSERS: Readonly<Partial<Record<Kind, Parse>>> = {
  Namespace: parseNamespace,
  Pod: parsePod,
  NetworkPolicy: parseNetworkPolicy,
  ClusterNetworkPolicy: parseClusterNetworkPolicy,
  ServiceAccountPolicy: parseServiceAccountPolicy,
};
const KINDS = Object.keys(PARSERS) as readonly Kind[];
const TRUST_DOMAIN = "cluster.local";
const OUTSIDE: Verdict = { kind: "allow", rule: "it is no pod" };

export interface SampleMesh {
  /** All pods are enrolled. @default false */
  readonly hasIdentities?: boolean;
}

export class SampleEvaluator {
  readonly #isEnrolled: () => boolean;
  readonly #store: KubeStore = makeStore(KINDS);
  readonly #index = new PolicyIndex({ trustDomain: TRUST_DOMAIN });
  readonly #pods = new Map<string, Pod>();
  #version = 0;

  constructor({ hasIdentities = false }: SampleMesh = {}) {
    this.#isEnrolled = () => hasIdentities;
  }

  /** Takes the place of what it held; the index learns of the difference. */
  hold({ policies, namespaces, pods }: PolicyObjects): void {
    const all = [...namespaces, ...pods, ...policies].map((one) => this.#read(one));
    for (const kind of KINDS) {
      this.#store.replace(
        kind,
        all.filter((object) => object.kind === kind),
      );
    }
    this.#index.update(this.#store, this.#isEnrolled);
    this.#pods.clear();
    for (const pod of this.#store.pods.values()) {
      for (const address of pod.addresses) this.#pods.set(address, pod);
    }
  }

  /** What the client's node says of it, where the client is a pod. */
  egress(flow: SampleFlow): Verdict {
    return this.#judge("egress", flow.from, flow.to, flow);
  }

  /** What the server's node says of it, where the server is a pod. */
  ingress(flow: SampleFlow): Verdict {
    return this.#judge("ingress", flow.to, flow.from, flow);
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

  #judge(
    direction: Direction,
    own: string,
    address: string,
    { protocol, port, identity: proven }: SampleFlow,
  ): Verdict {
    const [subject, other] = [this.#pods.get(own), this.#pods.get(address)];
    if (subject === undefined) return OUTSIDE;
    // Whom it calls a client's node knows by the address; who calls, only tunnels prove.
    const isKnown = direction === "egress" || protocol === "TCP";
    const identity = isKnown && other && this.#isEnrolled() ? identityOf(other) : (proven ?? null);
    const set = this.#index.setOf(subject, direction);
    return judge(set, { address, protocol, port, identity }, this.#index.groups);
  }

  #read(manifest: Manifest): KubeObject {
    const metadata = manifest["metadata"] as Manifest;
    const parse = PARSERS[manifest["kind"] as Kind];
    const resourceVersion = `${++this.#version}`;
    const read = parse?.({ ...manifest, metadata: { ...metadata, resourceVersion } });
    assert(read?.kind === "ok", JSON.stringify(read));
    assert.deepEqual(read.problems, []);
    return read.object;
  }
}

function identityOf({ namespace, serviceAccount }: Pod): string {
  return formatSpiffeId({ trustDomain: TRUST_DOMAIN, namespace, serviceAccount });
}
