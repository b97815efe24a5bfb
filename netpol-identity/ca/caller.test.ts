import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { ReviewedUser } from "../../lib/kube/token-review.ts";
import { judgeCaller } from "./caller.ts";
import { sampleAgent, sampleCaller, sampleUser } from "./sample-callers.ts";

const RULES = { accounts: ["kube-system/innermesh-node"], audiences: ["innermesh-ca"] };

const CASES: readonly {
  readonly rule: string;
  readonly user?: Partial<ReviewedUser>;
  readonly pod?: Partial<Pod>;
  /** The node, or the reason of the refusal. */
  readonly verdict: string;
}[] = [
  { rule: "an agent's own token names its node", verdict: "node-a" },
  {
    rule: "a server that tells no node: the pod's counts",
    user: { nodeName: "" },
    verdict: "node-a",
  },
  { rule: "another audience is refused", user: { audiences: ["api"] }, verdict: "bad-token" },
  { rule: "no audience at all is refused", user: { audiences: [] }, verdict: "bad-token" },
  {
    rule: "another ServiceAccount may not ask",
    user: { username: "system:serviceaccount:shop:innermesh-node" },
    verdict: "not-allowed",
  },
  { rule: "a person may not ask", user: { username: "admin" }, verdict: "not-allowed" },
  {
    rule: "a name with more colons is no ServiceAccount",
    user: { username: "system:serviceaccount:kube-system:innermesh-node:x" },
    verdict: "not-allowed",
  },
  { rule: "a token bound to no pod is refused", user: { podUid: "" }, verdict: "unbound-token" },
  { rule: "a pod that is gone is refused", user: { podName: "other" }, verdict: "caller-gone" },
  {
    rule: "a pod that came again under its name is refused",
    pod: { uid: "new" },
    verdict: "caller-gone",
  },
  { rule: "a pod that has ended is refused", pod: { isOver: true }, verdict: "caller-gone" },
  {
    rule: "a pod of another ServiceAccount is refused",
    pod: { serviceAccount: "default" },
    verdict: "caller-gone",
  },
  {
    rule: "a token of another node is refused",
    user: { nodeName: "node-b" },
    verdict: "caller-gone",
  },
  {
    rule: "a pod without a node is refused",
    user: { nodeName: "" },
    pod: { nodeName: "" },
    verdict: "caller-gone",
  },
];

for (const { rule, user, pod, verdict } of CASES) {
  test(rule, () => {
    const review = { kind: "known", user: { ...sampleUser, ...user } } as const;
    const agent = { ...sampleAgent, ...pod };
    const pods = new Map([[`${agent.namespace}/${agent.name}`, agent]]);
    const result = judgeCaller(review, RULES, pods);
    assert.equal(result.kind === "refused" ? result.reason : result.node, verdict);
    if (result.kind === "caller") assert.deepEqual(result, sampleCaller);
  });
}

test("a token that the API server does not know is refused without its words", () => {
  const review = { kind: "unknown", why: "token eyJhbGciOi is expired" } as const;
  const result = judgeCaller(review, RULES, new Map());
  assert.ok(result.kind === "refused" && result.reason === "bad-token");
  assert.equal(result.code, "UNAUTHENTICATED");
  assert.ok(!result.why.includes("eyJ"));
});
