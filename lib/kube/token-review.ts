// Asks the API server whose a token is (authentication.k8s.io/v1 TokenReview). A token that is
// bound to a pod is good only as long as that pod is there: the server looks.

import { asList, asRecord, asText } from "./api/fields.ts";
import type { KubeClient } from "./client.ts";

export type TokenReview =
  | { readonly kind: "known"; readonly user: ReviewedUser }
  | { readonly kind: "unknown"; readonly why: string };

export interface ReviewedUser {
  /** e.g. `system:serviceaccount:kube-system:innermesh-node` */
  readonly username: string;
  /** What the token was issued for and is accepted for: one of those asked for. */
  readonly audiences: readonly string[];
  /** What the token is bound to; "" where it is bound to none or the server is too old to say. */
  readonly podName: string;
  readonly podUid: string;
  readonly nodeName: string;
}

const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
const EXTRA = "authentication.kubernetes.io";

/**
 * Reviews a token.
 * @param audiences what the token must have been issued for: one of these
 * @throws KubeApiError when there is no answer; its text does not hold the token
 */
export async function reviewToken(
  client: Pick<KubeClient, "create">,
  { token, audiences }: { readonly token: string; readonly audiences: readonly string[] },
  signal: AbortSignal,
): Promise<TokenReview> {
  const review = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token, audiences },
  };
  return parseTokenReview(await client.create(PATH, review, { signal }));
}

/** Reads the answer. Never throws. */
export function parseTokenReview(value: unknown): TokenReview {
  const status = asRecord(asRecord(value)["status"]);
  const user = asRecord(status["user"]);
  const username = asText(user["username"]);
  if (status["authenticated"] !== true || username === "") {
    return { kind: "unknown", why: asText(status["error"]) || "not authenticated" };
  }
  const extra = asRecord(user["extra"]);
  const only = (name: string): string => {
    const values = asList(extra[`${EXTRA}/${name}`]);
    return values.length === 1 ? asText(values[0]) : "";
  };
  return {
    kind: "known",
    user: {
      username,
      audiences: asList(status["audiences"]).map(asText),
      podName: only("pod-name"),
      podUid: only("pod-uid"),
      nodeName: only("node-name"),
    },
  };
}
