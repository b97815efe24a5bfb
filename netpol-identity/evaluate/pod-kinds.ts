// Pods that no policy can tell apart, together: those of one ReplicaSet wear the same labels and
// open the same ports, as the same objects.

import type { Labels } from "../../lib/kube/api/intern.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { PodChange } from "./pod-ledger.ts";

/** What of a pod decides which policies select it, and what they say about it. */
export type PodTraits = Pick<Pod, "namespace" | "labels" | "ports" | "serviceAccount">;

export interface PodKind<Answer> extends PodTraits {
  /** None: it goes with the next sweep, unless one comes. */
  readonly pods: Set<Pod>;
  /** About all of them; undefined: nobody asked. */
  answer: Answer | undefined;
}

export class PodKinds<Answer> {
  /** By namespace, then by labels. */
  readonly #kinds = new Map<string, Map<Labels, PodKind<Answer>[]>>();
  readonly #emptied = new Set<PodKind<Answer>>();

  /** Undefined where no pod is of its kind. */
  of({ namespace, labels, ports, serviceAccount }: PodTraits): PodKind<Answer> | undefined {
    const alike = this.#kinds.get(namespace)?.get(labels);
    return alike?.find((kind) => kind.ports === ports && kind.serviceAccount === serviceAccount);
  }

  namespaces(): Iterable<string> {
    return this.#kinds.keys();
  }

  *inNamespace(namespace: string): Generator<PodKind<Answer>> {
    for (const kinds of this.#kinds.get(namespace)?.values() ?? []) yield* kinds;
  }

  /** @returns the kinds that it is of before and after */
  move({ before, after }: PodChange): {
    readonly from: PodKind<Answer> | undefined;
    readonly to: PodKind<Answer> | undefined;
  } {
    const from = before && this.of(before);
    const to = after && (this.of(after) ?? this.#add(after));
    if (before !== undefined) from?.pods.delete(before);
    if (after !== undefined) to?.pods.add(after);
    if (from?.pods.size === 0) this.#emptied.add(from);
    return { from, to };
  }

  /** Forgets the kinds that no pod is of. @returns them */
  sweep(): readonly PodKind<Answer>[] {
    const dropped = [...this.#emptied].filter(({ pods }) => pods.size === 0);
    this.#emptied.clear();
    for (const kind of dropped) {
      const byLabels = this.#kinds.get(kind.namespace);
      const others = byLabels?.get(kind.labels)?.filter((one) => one !== kind) ?? [];
      if (others.length > 0) byLabels?.set(kind.labels, others);
      else byLabels?.delete(kind.labels);
      if (byLabels?.size === 0) this.#kinds.delete(kind.namespace);
    }
    return dropped;
  }

  #add({ namespace, labels, ports, serviceAccount }: Pod): PodKind<Answer> {
    const byLabels = this.#kinds.get(namespace) ?? new Map<Labels, PodKind<Answer>[]>();
    this.#kinds.set(namespace, byLabels);
    const traits = { namespace, labels, ports, serviceAccount };
    const kind: PodKind<Answer> = { ...traits, pods: new Set(), answer: undefined };
    byLabels.set(labels, [...(byLabels.get(labels) ?? []), kind]);
    return kind;
  }
}
