// Which addresses prove an identity: those of enrolled pods, by their ServiceAccount.

import type { Pod } from "../../lib/kube/api/pod.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import { isSameSet } from "./derived-groups.ts";
import { membersFor } from "./identity-group.ts";
import type { PodChange } from "./pod-ledger.ts";
import type { GroupId } from "./policy-set.ts";
import { isReachedAlike } from "./pod-groups.ts";

/**
 * Whether a pod proves who it is. Another function means that any pod may have changed sides; the
 * same one, that no pod did that is the same object as before.
 */
export type IsEnrolled = (pod: Pod) => boolean;

/** Enrolled pods of one ServiceAccount. */
interface Account {
  /** Members of identity groups that stand for it. */
  readonly members: readonly string[];
  readonly pods: Set<Pod>;
}

interface Answer {
  readonly revision: number;
  readonly group: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
}

export class Carriers {
  readonly #trustDomain: string;
  readonly #accounts = new Map<string, Account>();
  readonly #answers = new Map<GroupId, Answer>();
  #isEnrolled: IsEnrolled | undefined;
  #revision = 0;

  constructor(trustDomain: string) {
    this.#trustDomain = trustDomain;
  }

  /** @returns whether any answer may differ */
  update(
    changes: readonly PodChange[],
    pods: () => Iterable<Pod>,
    isEnrolled: IsEnrolled,
  ): boolean {
    const before = this.#revision;
    const isOther = this.#isEnrolled !== isEnrolled;
    this.#isEnrolled = isEnrolled;
    for (const change of changes) this.#replace(change, isEnrolled);
    if (isOther) for (const pod of pods()) this.#replace({ before: pod, after: pod }, isEnrolled);
    return this.#revision !== before;
  }

  /** The addresses of those who can prove to be in a group; the same object while it is equal. */
  of(id: GroupId, group: ReadonlySet<string>): ReadonlySet<string> {
    const known = this.#answers.get(id);
    if (known?.revision === this.#revision && known.group === group) return known.addresses;
    const found = new Set<string>();
    for (const { members, pods } of this.#accounts.values()) {
      if (!members.some((member) => group.has(member))) continue;
      for (const pod of pods) for (const address of pod.addresses) found.add(address);
    }
    const isSame = known !== undefined && isSameSet(known.addresses, found);
    const addresses = isSame ? known.addresses : found;
    this.#answers.set(id, { revision: this.#revision, group, addresses });
    return addresses;
  }

  forget(identityGroup: GroupId): void {
    this.#answers.delete(identityGroup);
  }

  #replace({ before, after }: PodChange, isEnrolled: IsEnrolled): void {
    const was = before !== undefined && this.#remove(before);
    const is = after !== undefined && isEnrolled(after);
    if (is) this.#accountOf(after).pods.add(after);
    const isAlike =
      before?.serviceAccount === after?.serviceAccount && isReachedAlike(before, after);
    if (was !== is || (is && !isAlike)) this.#revision++;
  }

  #remove(pod: Pod): boolean {
    const key = accountKey(pod);
    const account = this.#accounts.get(key);
    const was = account?.pods.delete(pod) ?? false;
    if (account?.pods.size === 0) this.#accounts.delete(key);
    return was;
  }

  #accountOf(pod: Pod): Account {
    const key = accountKey(pod);
    const known = this.#accounts.get(key);
    if (known !== undefined) return known;
    const { namespace, serviceAccount } = pod;
    const uri = formatSpiffeId({ trustDomain: this.#trustDomain, namespace, serviceAccount });
    const account: Account = { members: membersFor(uri), pods: new Set() };
    this.#accounts.set(key, account);
    return account;
  }
}

function accountKey({ namespace, serviceAccount }: Pod): string {
  return `${namespace}/${serviceAccount}`;
}
