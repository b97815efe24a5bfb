// The demo's Services as the Kubernetes objects a user would write into a directory source.

import type { Playground } from "./cluster.ts";
import { type PlaygroundPod, serviceCidrs } from "./topology.ts";

export interface DemoService {
  readonly name: string;
  readonly clusterIp: string;
  readonly clusterIp6?: string;
  /** Names of its pods. */
  readonly pods: "all" | readonly string[];
  readonly affinitySeconds?: number;
  readonly nodePort?: number;
  readonly externalTrafficPolicy?: "Local";
}

const PORTS = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "echo", port: 9090, targetPort: 9090 },
];

/** One JSON document with Nodes, the ServiceCIDR, Services and their EndpointSlices. */
export function demoManifests(playground: Playground, services: readonly DemoService[]): string {
  const pods = playground.nodes.flatMap((node) => node.pods);
  const items = [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: [serviceCidrs.ip, serviceCidrs.ip6] },
    },
    ...playground.nodes.map(({ name, addresses, podCidrs }) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name },
      spec: { podCIDRs: [podCidrs.ip, podCidrs.ip6] },
      status: {
        addresses: [
          { type: "InternalIP", address: addresses.ip },
          { type: "InternalIP", address: addresses.ip6 },
        ],
      },
    })),
    ...services.flatMap((service) => manifestsOf(service, pods)),
  ];
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, undefined, 1)}\n`;
}

function manifestsOf(service: DemoService, all: readonly PlaygroundPod[]): unknown[] {
  const { name, clusterIp, clusterIp6, affinitySeconds, nodePort } = service;
  const clusterIPs = clusterIp6 === undefined ? [clusterIp] : [clusterIp, clusterIp6];
  const pods = all.filter((pod) => service.pods === "all" || service.pods.includes(pod.name));
  const object = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name },
    spec: {
      type: nodePort === undefined ? "ClusterIP" : "NodePort",
      clusterIP: clusterIp,
      clusterIPs,
      ports: PORTS.map((port, index) => ({
        ...port,
        protocol: "TCP",
        ...(nodePort === undefined ? {} : { nodePort: nodePort + index }),
      })),
      ...(service.externalTrafficPolicy && {
        externalTrafficPolicy: service.externalTrafficPolicy,
      }),
      ...(affinitySeconds !== undefined && {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: affinitySeconds } },
      }),
    },
  };
  return [object, ...clusterIPs.map((ip) => sliceOf(name, ip.includes(":") ? "ip6" : "ip", pods))];
}

function sliceOf(service: string, family: "ip" | "ip6", pods: readonly PlaygroundPod[]): unknown {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: `${service}-${family}`,
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: family === "ip" ? "IPv4" : "IPv6",
    ports: PORTS.map(({ name, targetPort }) => ({ name, protocol: "TCP", port: targetPort })),
    endpoints: pods.map(({ addresses, node }) => ({
      addresses: [addresses[family]],
      nodeName: node,
      conditions: { ready: true },
    })),
  };
}
