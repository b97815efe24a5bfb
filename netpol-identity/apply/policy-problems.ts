// What is wrong with policies, out of all that is wrong with what was read.

import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { KubeStore } from "../../lib/kube/store.ts";
import { POLICY_KINDS } from "../evaluate/policy-book.ts";

const KINDS: ReadonlySet<string> = new Set(POLICY_KINDS);

export function policyProblems({ problems }: Pick<KubeStore, "problems">): readonly Problem[] {
  return [...problems.values()]
    .flat()
    .filter(({ object }) => KINDS.has(object.slice(0, object.indexOf(" "))));
}
