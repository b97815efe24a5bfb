// The sets of each kind of pods: made when they are asked for first, and again when a policy that
// is about it, its namespace or the mesh's default changed. What changed nothing costs nothing.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Direction, PodQuery } from "../model/policy.ts";
import { CountedPool } from "./counted-pool.ts";
import { makeSet } from "./make-set.ts";
import { PodKinds, type PodKind, type PodTraits } from "./pod-kinds.ts";
import type { PodChange } from "./pod-ledger.ts";
import { type NamespaceLabels, selectsInNamespace, selectsNamespace } from "./pod-query.ts";
import type { PolicyBook } from "./policy-book.ts";
import type { PolicySet } from "./policy-set.ts";

export type DirectedSets = Readonly<Record<Direction, PolicySet | undefined>>;

/** What kinds share that the same policies are about. */
interface Answer {
  readonly key: string;
  readonly sets: DirectedSets;
}

export class KindSets {
  readonly #book: PolicyBook;
  readonly #kinds = new PodKinds<Answer>();
  readonly #answers = new CountedPool<Answer>();
  readonly #sets = new CountedPool<PolicySet>();
  readonly #touched = new Set<PodKind<Answer>>();

  constructor(book: PolicyBook) {
    this.#book = book;
  }

  of(pod: Pod): DirectedSets {
    const kind = this.#kinds.of(pod);
    if (kind !== undefined) return (kind.answer ??= this.#take(kind)).sets;
    // The last update did not see it, and nobody is like it.
    const answer = this.#take(pod);
    this.#release(answer);
    return answer.sets;
  }

  /** A pod whose sets were asked for goes on having some. */
  move(changes: readonly PodChange[]): void {
    for (const change of changes) {
      const { from, to } = this.#kinds.move(change);
      if (to === undefined || to.answer !== undefined) continue;
      if (from?.answer !== undefined) this.#touched.add(to);
    }
  }

  /** Something else may hold for these pods. */
  touch(query: PodQuery, namespaces: NamespaceLabels): void {
    for (const namespace of this.#kinds.namespaces()) {
      const labels = namespaces.get(namespace)?.labels;
      if (!selectsNamespace(query.namespaces, namespace, labels)) continue;
      for (const kind of this.#kinds.inNamespace(namespace)) {
        if (kind.answer !== undefined && selectsInNamespace(query, kind)) this.#touched.add(kind);
      }
    }
  }

  /** Makes again what was touched. @returns pods that have other sets than before */
  settle(): readonly Pod[] {
    const others: Pod[] = [];
    const old: Answer[] = [];
    for (const kind of this.#touched) {
      if (kind.pods.size === 0) continue;
      const before = kind.answer;
      kind.answer = this.#take(kind);
      if (before === undefined) continue;
      old.push(before);
      if (!isSame(before.sets, kind.answer.sets)) others.push(...kind.pods);
    }
    this.#touched.clear();
    for (const { answer } of this.#kinds.sweep()) if (answer !== undefined) old.push(answer);
    // Only now: what is equal to one of before is the same object.
    for (const answer of old) this.#release(answer);
    return others;
  }

  #take(traits: PodTraits): Answer {
    const policies = this.#book.selecting(traits);
    const otherwise = this.#book.otherwise(traits);
    const ports = policies.some(({ asksPorts }) => asksPorts) ? traits.ports : [];
    const key = JSON.stringify([otherwise, policies.map(({ serial }) => serial), ports]);
    return this.#answers.take(key, () => {
      const make = (direction: Direction): PolicySet | undefined => {
        const set = makeSet({ direction, policies, ports, otherwise });
        return set && this.#sets.take(set.id, () => set);
      };
      return { key, sets: { ingress: make("ingress"), egress: make("egress") } };
    });
  }

  #release({ key, sets }: Answer): void {
    if (!this.#answers.release(key)) return;
    for (const set of [sets.ingress, sets.egress])
      if (set !== undefined) this.#sets.release(set.id);
  }
}

function isSame(a: DirectedSets, b: DirectedSets): boolean {
  return a.ingress === b.ingress && a.egress === b.egress;
}
