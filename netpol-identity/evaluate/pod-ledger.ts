// The pods that policies are about, by namespace, and which of them are others than at the last
// look. Pods of their node's network and those that are over are not among them.

import type { Pod } from "../../lib/kube/api/pod.ts";

/** `before` undefined: it is new. `after` undefined: it is gone. */
export interface PodChange {
  readonly before: Pod | undefined;
  readonly after: Pod | undefined;
}

const NO_PODS: ReadonlyMap<string, Pod> = new Map();

export class PodLedger {
  /** By namespace, then by name. */
  readonly #pods = new Map<string, Map<string, Pod>>();
  #size = 0;

  /** @param pods a pod that changed is another object; one look costs a comparison for each */
  update(pods: ReadonlyMap<string, Pod>): readonly PodChange[] {
    const changes: PodChange[] = [];
    let size = 0;
    for (const after of pods.values()) {
      if (after.hostNetwork || after.isOver) continue;
      size++;
      const before = this.#pods.get(after.namespace)?.get(after.name);
      if (before === after) continue;
      changes.push({ before, after });
      this.#set(after);
    }
    if (this.#size !== size) this.#removeOthers(pods, changes);
    return changes;
  }

  *all(): Generator<Pod> {
    for (const pods of this.#pods.values()) yield* pods.values();
  }

  namespaces(): Iterable<string> {
    return this.#pods.keys();
  }

  /** By name. */
  inNamespace(namespace: string): ReadonlyMap<string, Pod> {
    return this.#pods.get(namespace) ?? NO_PODS;
  }

  #set(pod: Pod): void {
    const known = this.#pods.get(pod.namespace);
    if (known === undefined) this.#pods.set(pod.namespace, new Map([[pod.name, pod]]));
    if (known?.has(pod.name) !== true) this.#size++;
    known?.set(pod.name, pod);
  }

  #removeOthers(pods: ReadonlyMap<string, Pod>, changes: PodChange[]): void {
    const present = new Set(pods.values());
    for (const [namespace, known] of this.#pods) {
      for (const [name, before] of known) {
        if (present.has(before)) continue;
        known.delete(name);
        this.#size--;
        changes.push({ before, after: undefined });
      }
      if (known.size === 0) this.#pods.delete(namespace);
    }
  }
}
