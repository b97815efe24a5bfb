// The certificate authority in the controller: what it may do beside judging routes, the Service
// that node agents dial, and the agents' right to read the trust bundle.

import { NAMESPACE, NODE } from "./access.ts";
import { CONTROLLER, CONTROLLER_NAMESPACE, controllerLabels } from "./controller-access.ts";
import type { Manifest } from "./manifest.ts";

export const CA = "innermesh-ca";
export const CA_PORT = 15_012;
const BUNDLE = "innermesh-trust-bundle";
const BANS = "innermesh-bans";
/** Where a user puts a CA of their own. */
const SUPPLIED = "innermesh-ca-user";

const RBAC = "rbac.authorization.k8s.io";
const labels = { "app.kubernetes.io/name": CA, "app.kubernetes.io/part-of": "innermesh" };
const here = { name: CA, namespace: CONTROLLER_NAMESPACE, labels };
const reader = { name: BUNDLE, namespace: CONTROLLER_NAMESPACE, labels };
const controller = {
  kind: "ServiceAccount",
  name: CONTROLLER,
  namespace: CONTROLLER_NAMESPACE,
} as const;
const node = { kind: "ServiceAccount", name: NODE, namespace: NAMESPACE } as const;
const trustBundles = { apiGroups: ["certificates.k8s.io"], resources: ["clustertrustbundles"] };
const secrets = { apiGroups: [""], resources: ["secrets"] };
const configMaps = { apiGroups: [""], resources: ["configmaps"] };

export const caManifests: readonly Manifest[] = [
  {
    name: "ca-cluster-role",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRole",
      metadata: { name: CA, labels },
      rules: [
        {
          apiGroups: ["authentication.k8s.io"],
          resources: ["tokenreviews"],
          verbs: ["create"],
        },
        { apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"] },
        { ...trustBundles, verbs: ["create"] },
        { ...trustBundles, resourceNames: [BUNDLE], verbs: ["get", "update"] },
      ],
    },
    comments: {
      "rules.0": " Whose token a caller shows. No right to make one.",
      "rules.1": " Which identities live on the caller's node.",
      "rules.2": " Roots for all who want them; what does not exist yet cannot be named.",
    },
  },
  {
    name: "ca-cluster-role-binding",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: CA, labels },
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: CA },
      subjects: [controller],
    },
    comments: {},
  },
  {
    name: "ca-role",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "Role",
      metadata: here,
      rules: [
        { ...secrets, verbs: ["create"] },
        { ...secrets, resourceNames: [CA], verbs: ["get", "update"] },
        { ...secrets, resourceNames: [SUPPLIED], verbs: ["get"] },
        { ...configMaps, verbs: ["create"] },
        { ...configMaps, resourceNames: [BUNDLE], verbs: ["get", "update"] },
        { ...configMaps, resourceNames: [BANS], verbs: ["get"] },
      ],
    },
    comments: {
      "rules.0": " What does not exist yet cannot be named.",
      "rules.1": " The key that signs, and what is known of its roots.",
      "rules.2": " A CA of the user's own.",
      "rules.4": " What nodes trust.",
      "rules.5": " Nodes that get no certificates.",
    },
  },
  {
    name: "ca-role-binding",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "RoleBinding",
      metadata: here,
      roleRef: { apiGroup: RBAC, kind: "Role", name: CA },
      subjects: [controller],
    },
    comments: {},
  },
  {
    name: "ca-bundle-role",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "Role",
      metadata: reader,
      rules: [{ ...configMaps, resourceNames: [BUNDLE], verbs: ["get", "list", "watch"] }],
    },
    comments: { "rules.0": " Roots and bans, in one object." },
  },
  {
    name: "ca-bundle-role-binding",
    object: {
      apiVersion: `${RBAC}/v1`,
      kind: "RoleBinding",
      metadata: reader,
      roleRef: { apiGroup: RBAC, kind: "Role", name: BUNDLE },
      subjects: [node],
    },
    comments: {},
  },
  {
    name: "ca-service",
    object: {
      apiVersion: "v1",
      kind: "Service",
      metadata: here,
      spec: {
        selector: { "app.kubernetes.io/name": controllerLabels["app.kubernetes.io/name"] },
        ports: [{ name: "grpc", port: CA_PORT, targetPort: CA_PORT, protocol: "TCP" }],
      },
    },
    comments: { "spec.selector": " Every replica signs." },
  },
];
