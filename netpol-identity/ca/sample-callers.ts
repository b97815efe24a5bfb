// A node agent's pod, its review and its neighbours: for tests.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { ReviewedUser } from "../../lib/kube/token-review.ts";
import type { Caller } from "./caller.ts";

export function samplePod(
  pod: Pick<Pod, "namespace" | "name" | "serviceAccount"> & Partial<Pod>,
): Pod {
  return {
    kind: "Pod",
    uid: `uid-of-${pod.name}`,
    resourceVersion: "1",
    nodeName: "node-a",
    addresses: [],
    labels: {},
    hostNetwork: false,
    isOver: false,
    ports: [],
    ambientRedirection: false,
    ...pod,
  };
}

export const sampleAgent: Pod = samplePod({
  namespace: "kube-system",
  name: "innermesh-node-x",
  serviceAccount: "innermesh-node",
  hostNetwork: true,
});

export const sampleCaller: Caller = {
  kind: "caller",
  node: "node-a",
  namespace: "kube-system",
  serviceAccount: "innermesh-node",
  pod: sampleAgent.name,
  podUid: sampleAgent.uid,
};

export const sampleUser: ReviewedUser = {
  username: "system:serviceaccount:kube-system:innermesh-node",
  audiences: ["innermesh-ca"],
  podName: sampleAgent.name,
  podUid: sampleAgent.uid,
  nodeName: "node-a",
};
