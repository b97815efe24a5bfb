// Whether whoever shows a token may ask for certificates at all, and for which node: it runs as a
// ServiceAccount that is trusted with that, in a pod that exists, on the node where that pod is.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { TokenReview } from "../../lib/kube/token-review.ts";
import { type Refusal, refusal } from "./signing-refusal.ts";

export interface Caller {
  readonly kind: "caller";
  readonly node: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

export interface CallerRules {
  /** Who may ask, as `namespace/name`. */
  readonly accounts: readonly string[];
  /** What a token must have been issued for: one of these. */
  readonly audiences: readonly string[];
}

const USERNAME = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * Judges what a TokenReview said of a caller.
 * @param pods all pods of the cluster by `namespace/name`; they may be a moment old, since a UID
 *   never returns
 */
export function judgeCaller(
  review: TokenReview,
  { accounts, audiences }: CallerRules,
  pods: ReadonlyMap<string, Pod>,
): Caller | Refusal {
  if (review.kind === "unknown") {
    const wanted = audiences.join(", ");
    return refusal("bad-token", `The API server does not accept the token for ${wanted}.`);
  }
  const { username, podName, podUid, nodeName } = review.user;
  if (!review.user.audiences.some((audience) => audiences.includes(audience))) {
    return refusal(
      "bad-token",
      `The token is not for ${audiences.join(", ")}: project one that is.`,
    );
  }
  const [, namespace = "", serviceAccount = ""] = USERNAME.exec(username) ?? [];
  if (!accounts.includes(`${namespace}/${serviceAccount}`)) {
    const allowed = accounts.join(", ");
    return refusal("not-allowed", `"${username}" is not among those who may ask: ${allowed}.`);
  }
  if (podName === "" || podUid === "") {
    return refusal("unbound-token", "The token is bound to no pod: use a projected one.");
  }
  const pod = pods.get(`${namespace}/${podName}`);
  if (pod?.uid !== podUid || pod.serviceAccount !== serviceAccount || pod.isOver) {
    return refusal("caller-gone", `There is no pod ${namespace}/${podName} with UID ${podUid}.`);
  }
  if (pod.nodeName === "" || (nodeName !== "" && nodeName !== pod.nodeName)) {
    const [said, is] = [nodeName || "none", pod.nodeName || "none"];
    const why = `Pod ${namespace}/${podName} is on node ${is}, its token says ${said}.`;
    return refusal("caller-gone", why);
  }
  const node = pod.nodeName;
  return { kind: "caller", node, namespace, serviceAccount, pod: podName, podUid };
}

/** For logs: `namespace/pod`. */
export function formatCaller({ namespace, pod }: Caller): string {
  return `${namespace}/${pod}`;
}
