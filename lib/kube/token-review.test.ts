import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTokenReview, reviewToken } from "./token-review.ts";

const EXTRA = {
  "authentication.kubernetes.io/pod-name": ["agent"],
  "authentication.kubernetes.io/pod-uid": ["1"],
  "authentication.kubernetes.io/node-name": ["node-a"],
};
const username = "system:serviceaccount:kube-system:innermesh-node";

test("an authenticated review names the user and what the token is bound to", () => {
  const status = { authenticated: true, user: { username, extra: EXTRA }, audiences: ["ca"] };
  assert.deepEqual(parseTokenReview({ status }), {
    kind: "known",
    user: { username, audiences: ["ca"], podName: "agent", podUid: "1", nodeName: "node-a" },
  });
});

test("what the server does not say, or says twice, is empty", () => {
  const extra = { "authentication.kubernetes.io/pod-uid": ["1", "2"] };
  const review = parseTokenReview({ status: { authenticated: true, user: { username, extra } } });
  const nothing = { audiences: [], podName: "", podUid: "", nodeName: "" };
  assert.deepEqual(review, { kind: "known", user: { username, ...nothing } });
});

test("anything else is nobody", () => {
  const bad = [undefined, 5, {}, { status: {} }, { status: { authenticated: "true" } }];
  for (const value of [...bad, { status: { authenticated: true, user: {} } }]) {
    assert.equal(parseTokenReview(value).kind, "unknown");
  }
});

test("the audience is asked for", async () => {
  const seen: unknown[] = [];
  const client = {
    create: (path: string, object: unknown) => {
      seen.push(path, object);
      return Promise.resolve({ status: { error: "no" } });
    },
  };
  const { signal } = new AbortController();
  const review = await reviewToken(client, { token: "t", audiences: ["ca"] }, signal);
  assert.deepEqual(review, { kind: "unknown", why: "no" });
  const spec = { token: "t", audiences: ["ca"] };
  const apiVersion = "authentication.k8s.io/v1";
  assert.deepEqual(seen, [
    "/apis/authentication.k8s.io/v1/tokenreviews",
    { apiVersion, kind: "TokenReview", spec },
  ]);
});
