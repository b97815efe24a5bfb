// Cluster DNS as clusters have it: CoreDNS in a pod, behind the Service that pods are told about.

import type { ApplyObject } from "./api-client.ts";

const NAMESPACE = "kube-system";
const NAME = "coredns";
const LABELS = { "k8s-app": "kube-dns" };
const PORTS = [
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns-tcp", port: 53, protocol: "TCP" },
];
const COREFILE = `.:53 {
  errors
  ready
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    ttl 5
  }
  loop
}
`;

export interface ClusterDnsOptions {
  readonly image: string;
  /** Address of the Service. */
  readonly clusterIP: string;
  /** Address of the Service default/kubernetes. */
  readonly apiAddress: string;
}

/** The objects of cluster DNS, in the order in which to apply them. */
export function clusterDns(options: ClusterDnsOptions): readonly ApplyObject[] {
  const metadata = { name: NAME, namespace: NAMESPACE };
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    ...access(),
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { Corefile: COREFILE } },
    deployment(options),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: NAMESPACE },
      spec: { clusterIP: options.clusterIP, selector: LABELS, ports: PORTS },
    },
  ];
}

function access(): readonly ApplyObject[] {
  const verbs = ["list", "watch"];
  const group = "rbac.authorization.k8s.io";
  return [
    {
      apiVersion: `${group}/v1`,
      kind: "ClusterRole",
      metadata: { name: NAME },
      rules: [
        { apiGroups: [""], resources: ["services", "pods", "namespaces", "endpoints"], verbs },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs },
      ],
    },
    {
      apiVersion: `${group}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: NAME },
      roleRef: { apiGroup: group, kind: "ClusterRole", name: NAME },
      subjects: [{ kind: "ServiceAccount", name: NAME, namespace: NAMESPACE }],
    },
  ];
}

function deployment({ image, apiAddress }: ClusterDnsOptions): ApplyObject {
  // The API server's certificate knows this name, and not the Service's address.
  const apiName = "kubernetes.default.svc";
  const container = {
    name: NAME,
    image,
    imagePullPolicy: "Never",
    args: ["-conf", "/etc/coredns/Corefile"],
    env: [{ name: "KUBERNETES_SERVICE_HOST", value: apiName }],
    ports: PORTS.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol })),
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 1 },
    volumeMounts: [{ name: "config", mountPath: "/etc/coredns" }],
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: NAME, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: NAME,
          dnsPolicy: "Default",
          hostAliases: [{ ip: apiAddress, hostnames: [apiName] }],
          containers: [container],
          volumes: [{ name: "config", configMap: { name: NAME } }],
        },
      },
    },
  };
}
