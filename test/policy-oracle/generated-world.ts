// The cluster of cyclonus's generated cases, as their actions change it.

import assert from "node:assert/strict";
import {
  type Manifest,
  namespaceObject,
  type PolicyObjects,
  podObject,
  servedPorts,
} from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import { UPSTREAM_PODS, UPSTREAM_PORTS } from "../../netpol-identity/evaluate/upstream-cases.ts";
import type { CyclonusAction, PolicyObject } from "./cyclonus.ts";

type Labels = Readonly<Record<string, string>>;

interface GeneratedPod {
  readonly labels: Labels;
  readonly addresses: readonly string[];
}

/** Pods a, b and c in namespaces x, y and z, each labelled with its name. */
export class GeneratedWorld {
  readonly #policies = new Map<string, Manifest>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #pods = new Map<string, GeneratedPod>();
  #made = 0;

  constructor() {
    for (const { name, addresses } of UPSTREAM_PODS) {
      const [namespace = "", pod = ""] = name.split("/");
      this.#namespaces.set(namespace, { ns: namespace });
      this.#pods.set(name, { labels: { pod }, addresses: Object.values(addresses) });
    }
  }

  get objects(): PolicyObjects {
    return {
      policies: [...this.#policies.values()],
      namespaces: [...this.#namespaces].map(([name, labels]) => namespaceObject(name, labels)),
      pods: [...this.#pods].map(([path, pod]) => {
        const [namespace = "", name = ""] = path.split("/");
        const ports = servedPorts(UPSTREAM_PORTS);
        return podObject({ ...pod, namespace, name, node: "node-1", ports });
      }),
    };
  }

  /** @throws for an action that no case had when this was written */
  apply(action: CyclonusAction): void {
    const policy = action.CreatePolicy ?? action.UpdatePolicy;
    const { DeletePolicy, DeleteNamespace, CreatePod, SetPodLabels, DeletePod } = action;
    const namespace = action.CreateNamespace ?? action.SetNamespaceLabels;
    if (policy) this.#put(policy.Policy);
    else if (DeletePolicy) this.#policies.delete(`${DeletePolicy.Namespace}/${DeletePolicy.Name}`);
    else if (namespace) this.#namespaces.set(namespace.Namespace, namespace.Labels ?? {});
    else if (DeleteNamespace) this.#deleteNamespace(DeleteNamespace.Namespace);
    else if (CreatePod) {
      const { Namespace, Pod, Labels } = CreatePod;
      const addresses = [`10.71.3.${++this.#made}`, `fd71:0:0:3::${this.#made}`];
      this.#pods.set(`${Namespace}/${Pod}`, { labels: Labels, addresses });
    } else if (SetPodLabels) {
      const { Namespace, Pod, Labels } = SetPodLabels;
      const pod = this.#pods.get(`${Namespace}/${Pod}`) ?? assert.fail(`no ${Namespace}/${Pod}`);
      this.#pods.set(`${Namespace}/${Pod}`, { ...pod, labels: Labels });
    } else if (DeletePod) this.#pods.delete(`${DeletePod.Namespace}/${DeletePod.Pod}`);
    else assert.fail(`cannot do ${JSON.stringify(action)}`);
  }

  #put(policy: PolicyObject): void {
    const { namespace, name } = policy.metadata;
    // Some cases leave out what they are.
    this.#policies.set(`${namespace}/${name}`, { ...policy, kind: "NetworkPolicy" });
  }

  #deleteNamespace(name: string): void {
    this.#namespaces.delete(name);
    for (const all of [this.#pods, this.#policies]) {
      for (const path of all.keys()) if (path.startsWith(`${name}/`)) all.delete(path);
    }
  }
}
