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
  /** The same ones by the keys of what they were taken from. */
  readonly #taken = new Map<string, Pod>();

  /** @param pods a pod that changed is another object; one look costs a comparison for each */
  update(pods: ReadonlyMap<string, Pod>): readonly PodChange[] {
    const changes: PodChange[] = [];
    let size = 0;
    for (const [key, after] of pods) {
      const before = this.#taken.get(key);
      if (before !== after && (after.hostNetwork || after.isOver)) continue;
      size++;
      if (before === after) continue;
      changes.push({ before, after });
      this.#set(key, after);
    }
    if (this.#taken.size !== size) this.#removeOthers(pods, changes);
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

  #set(key: string, pod: Pod): void {
    this.#taken.set(key, pod);
    const known = this.#pods.get(pod.namespace);
    if (known === undefined) this.#pods.set(pod.namespace, new Map([[pod.name, pod]]));
    else known.set(pod.name, pod);
  }

  #removeOthers(pods: ReadonlyMap<string, Pod>, changes: PodChange[]): void {
    for (const [key, before] of this.#taken) {
      if (pods.get(key) === before) continue;
      this.#taken.delete(key);
      const known = this.#pods.get(before.namespace);
      known?.delete(before.name);
      if (known?.size === 0) this.#pods.delete(before.namespace);
      changes.push({ before, after: undefined });
    }
  }
}
