// What an installation may choose: the chart's values, and the defaults that kustomize's base has.

import { VERSION } from "../../roles/version.ts";

export interface Value {
  readonly default: string;
  readonly help: string;
}

/** Every value by its dotted path in values.yaml. All are text: templates only put them in. */
export const values: Readonly<Record<string, Value>> = {
  "image.repository": { default: "innermesh", help: "Image of every role; see Containerfile." },
  "image.tag": { default: VERSION, help: "Its version." },
  "image.pullPolicy": { default: "IfNotPresent", help: "As in a container." },
  "apiServer.host": {
    default: "",
    help:
      "Address of the API server that does not need a Service. Empty means the ClusterIP of the " +
      "Service kubernetes, which a node that starts afresh cannot reach before it is programmed: " +
      "set this before kube-proxy goes.",
  },
  "apiServer.port": { default: "6443", help: "Its port; only with apiServer.host." },
  clusterCIDR: {
    default: "",
    help:
      "The pods' prefix, or one per family with a comma, as kube-proxy has it. Empty: nothing " +
      "counts as a local pod, so clients outside of the cluster keep their address towards " +
      "ClusterIPs, and pods get no short-cut past externalTrafficPolicy Local.",
  },
  detectLocalMode: { default: "ClusterCIDR", help: "ClusterCIDR, or NodeCIDR: each Node's own." },
  identity: {
    default: "none",
    help:
      "Identities of pods: none does without; off, permissive or strict is the mode of pods that " +
      "no label enrols or exempts. Each node then watches all pods of the cluster.",
  },
  networkPolicy: {
    default: "none",
    help:
      "enforce: nodes enforce NetworkPolicy, ClusterNetworkPolicy and ServiceAccountPolicy, for " +
      "which each watches all pods of the cluster. none: another engine does, or nobody.",
  },
  trustDomain: {
    default: "cluster.local",
    help: "First part of every identity; of a mesh of clusters, each has its own.",
  },
  metricsBindAddress: { default: "127.0.0.1:10249", help: "/metrics, /proxyMode, /configz." },
  maxSurge: {
    default: "10%",
    help: "Share of the nodes that are updated at a time; each has two agents for a while.",
  },
  "resources.cpu": { default: "50m", help: "Requested CPU." },
  "resources.memory": { default: "128Mi", help: "Requested memory." },
  "controller.cpu": { default: "20m", help: "CPU that the controller requests." },
  "controller.memory": { default: "96Mi", help: "Its memory." },
};

/** How a value stands in a manifest: a default, or a template that Helm fills in. */
export type Lookup = (path: string) => string;

/** The defaults themselves. */
export const defaultLookup: Lookup = (path) => {
  const value = values[path];
  if (value === undefined) throw new Error(`Cannot use value "${path}": values.ts lacks it`);
  return value.default;
};

/** Helm's templates. */
export const helmLookup: Lookup = (path) => {
  defaultLookup(path);
  return `{{ .Values.${path} }}`;
};
