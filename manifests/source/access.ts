// Who the node agent is to the API server, and what it may do there: read what it programs, and
// say so in Events. No Secret, no change of any object.

import type { Manifest } from "./manifest.ts";
import { POLICY_GROUP } from "./policy-crds.ts";

/** Of every object of the node role; also the ServiceAccount's and the DaemonSet's name. */
export const NODE = "innermesh-node";
export const NAMESPACE = "kube-system";

export const labels = {
  "app.kubernetes.io/name": NODE,
  "app.kubernetes.io/part-of": "innermesh",
} as const;

const readsAll = ["list", "watch"];

export const accessManifests: readonly Manifest[] = [
  {
    name: "service-account",
    object: {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: NODE, namespace: NAMESPACE, labels },
      automountServiceAccountToken: false,
    },
    comments: {},
  },
  {
    name: "cluster-role",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: NODE, labels },
      rules: [
        { apiGroups: [""], resources: ["services"], verbs: readsAll },
        { apiGroups: [""], resources: ["nodes"], verbs: readsAll },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: readsAll },
        { apiGroups: ["networking.k8s.io"], resources: ["servicecidrs"], verbs: readsAll },
        { apiGroups: [""], resources: ["namespaces"], verbs: readsAll },
        { apiGroups: [""], resources: ["pods"], verbs: readsAll },
        { apiGroups: [""], resources: ["serviceaccounts"], verbs: readsAll },
        {
          apiGroups: ["gateway.networking.k8s.io"],
          resources: [
            "httproutes",
            "grpcroutes",
            "tcproutes",
            "tlsroutes",
            "udproutes",
            "referencegrants",
          ],
          verbs: readsAll,
        },
        { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: readsAll },
        {
          apiGroups: ["policy.networking.k8s.io"],
          resources: ["clusternetworkpolicies"],
          verbs: readsAll,
        },
        {
          apiGroups: [POLICY_GROUP],
          resources: ["serviceaccountpolicies", "meshpolicies"],
          verbs: readsAll,
        },
        { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"] },
      ],
    },
    comments: {
      "rules.0": " What is served.",
      "rules.1":
        " Its own Node: zone, addresses, pod prefixes. Others: addresses, and labels for policies.",
      "rules.2": " Where it is served from.",
      "rules.3": " Which unallocated addresses to drop.",
      "rules.4": " Labels that choose a lane for all Services of a namespace.",
      "rules.5": " Its own Pods: which client has which address. All, where pods have identities.",
      "rules.6": " Labels that enrol all pods that run as it.",
      "rules.7": " How requests are routed.",
      "rules.8": " Who may call whom: what every tenant says…",
      "rules.9": " …what the cluster's admin says before and after them…",
      "rules.10": " …and the same by ServiceAccount and request.",
      "rules.11": " What a node cannot do, told beside the object it is about.",
    },
  },
  {
    name: "cluster-role-binding",
    object: {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: NODE, labels },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: NODE },
      subjects: [{ kind: "ServiceAccount", name: NODE, namespace: NAMESPACE }],
    },
    comments: {},
  },
];
