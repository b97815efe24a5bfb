// Who the controller is to the API server, and what it may do there: read what it judges, write the
// status of that and of nothing else, hold one lease, and say in an Event that it does.

import type { Manifest } from "./manifest.ts";
import { POLICY_GROUP } from "./policy-crds.ts";

/** Of every object of the controller role; also the name of its lease. */
export const CONTROLLER = "innermesh-controller";
/** Not kube-system: nothing of a node's own depends on it. */
export const CONTROLLER_NAMESPACE = "innermesh-system";

export const controllerLabels = {
  "app.kubernetes.io/name": CONTROLLER,
  "app.kubernetes.io/part-of": "innermesh",
} as const;

const RBAC = "rbac.authorization.k8s.io";
const GATEWAY = "gateway.networking.k8s.io";
const EXPERIMENTAL = "gateway.networking.x-k8s.io";
const routes = ["httproutes", "grpcroutes", "tcproutes", "tlsroutes", "udproutes"];
const CLUSTER_POLICIES = "policy.networking.k8s.io";
const readsAll = ["list", "watch"];
const policies = ["serviceaccountpolicies", "meshpolicies"];
const statusesOf = (names: readonly string[]): readonly string[] =>
  names.map((name) => `${name}/status`);
const subjects = [
  { kind: "ServiceAccount", name: CONTROLLER, namespace: CONTROLLER_NAMESPACE },
] as const;
const here = { name: CONTROLLER, namespace: CONTROLLER_NAMESPACE, labels: controllerLabels };

const clusterRules = [
  { apiGroups: [""], resources: ["services", "namespaces"], verbs: readsAll },
  { apiGroups: [GATEWAY], resources: ["referencegrants"], verbs: readsAll },
  { apiGroups: [GATEWAY], resources: routes, verbs: ["get", ...readsAll] },
  { apiGroups: [GATEWAY], resources: statusesOf(routes), verbs: ["patch"] },
  { apiGroups: [EXPERIMENTAL], resources: ["xmeshes"], verbs: ["get", ...readsAll] },
  { apiGroups: [EXPERIMENTAL], resources: ["xmeshes/status"], verbs: ["patch"] },
  { apiGroups: [POLICY_GROUP], resources: policies, verbs: ["get", ...readsAll] },
  { apiGroups: [POLICY_GROUP], resources: statusesOf(policies), verbs: ["patch"] },
  {
    apiGroups: [CLUSTER_POLICIES],
    resources: ["clusternetworkpolicies"],
    verbs: ["get", ...readsAll],
  },
  {
    apiGroups: [CLUSTER_POLICIES],
    resources: ["clusternetworkpolicies/status"],
    verbs: ["patch"],
  },
  { apiGroups: [""], resources: ["pods", "nodes"], verbs: readsAll },
];

const LEASES = { apiGroups: ["coordination.k8s.io"], resources: ["leases"] };
const ownRules = [
  { ...LEASES, verbs: ["create"] },
  { ...LEASES, resourceNames: [CONTROLLER], verbs: ["get", "update"] },
  { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create"] },
];

export const controllerAccessManifests: readonly Manifest[] = [
  {
    name: "controller-namespace",
    object: {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: CONTROLLER_NAMESPACE,
        labels: {
          "app.kubernetes.io/part-of": "innermesh",
          "pod-security.kubernetes.io/enforce": "restricted",
        },
      },
    },
    comments: {},
  },
  {
    name: "controller-service-account",
    object: {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: here,
      automountServiceAccountToken: false,
    },
    comments: {},
  },
  {
    name: "controller-cluster-role",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRole",
      metadata: { name: CONTROLLER, labels: controllerLabels },
      rules: clusterRules,
    },
    comments: {
      "rules.0": " What routes are attached to and lead to, and whom a route is for.",
      "rules.1": " Whether they may lead there.",
      "rules.2": " What is judged; get: read again after a conflict.",
      "rules.3": " Where the judgement is written: never a spec.",
      "rules.4": " Meshes of ours…",
      "rules.5": " …and what they support.",
      "rules.6": " Policies of ours…",
      "rules.7": " …and where they are enforced.",
      "rules.8": " The same of the cluster's admin.",
      "rules.10": " Whom policies select, and the agents that are asked whether they hold.",
    },
  },
  {
    name: "controller-cluster-role-binding",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: CONTROLLER, labels: controllerLabels },
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: CONTROLLER },
      subjects,
    },
    comments: {},
  },
  {
    name: "controller-role",
    object: { apiVersion: `${RBAC}/v1`, kind: "Role", metadata: here, rules: ownRules },
    comments: {
      "rules.0": " What does not exist yet cannot be named.",
      "rules.1": " Which of the replicas writes.",
      "rules.2": " Told beside the lease.",
    },
  },
  {
    name: "controller-role-binding",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "RoleBinding",
      metadata: here,
      roleRef: { apiGroup: RBAC, kind: "Role", name: CONTROLLER },
      subjects,
    },
    comments: {},
  },
];
