// The demo's objects as a user would write them into a directory source.

import type { Playground } from "./cluster.ts";
import { type AddressPair, type PlaygroundPod, serviceCidrs } from "./topology.ts";

/** Something Kubernetes-shaped. */
export type DemoObject = Readonly<Record<string, unknown>>;

export interface DemoService {
  readonly name: string;
  readonly clusterIp: string;
  readonly clusterIp6?: string;
  /** Names of its pods. */
  readonly pods: "all" | readonly string[];
  /** @default HTTP at 80 and a TCP echo at 9090 */
  readonly ports?: readonly DemoPort[];
  /** Asks for a lane. */
  readonly lane?: "l4";
  readonly affinitySeconds?: number;
  readonly nodePort?: number;
  readonly externalTrafficPolicy?: "Local";
}

export interface DemoPort {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
}

const PORTS: readonly DemoPort[] = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "echo", port: 9090, targetPort: 9090 },
];

/** Nodes and the ServiceCIDR. */
export function nodeObjects({ nodes }: Playground): readonly DemoObject[] {
  return [
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: [serviceCidrs.ip, serviceCidrs.ip6] },
    },
    ...nodes.map(({ name, addresses, podCidrs }) => ({
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
  ];
}

/**
 * What a proxy knows its clients by, and what they can prove to be.
 * @param accounts ServiceAccounts by pod. @param labels by pod
 */
export function podObjects(
  pods: readonly PlaygroundPod[],
  accounts: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, DemoObject>> = {},
): readonly DemoObject[] {
  return pods.map(({ name, node, addresses }) =>
    podObject(addresses, {
      metadata: { namespace: "default", name, uid: name, labels: labels[name] },
      spec: { nodeName: node, serviceAccountName: accounts[name] },
    }),
  );
}

/** Agents, whose label says that their nodes take tunnels. */
export function tunnelAgents({ nodes }: Playground): readonly DemoObject[] {
  return nodes.map(({ name, addresses }) => {
    const labels = { "innermesh.io/tunnel": "hbone" };
    const agent = `innermesh-${name}`;
    return podObject(addresses, {
      metadata: { namespace: "kube-system", name: agent, uid: agent, labels },
      spec: { nodeName: name, hostNetwork: true, serviceAccountName: "innermesh-node" },
    });
  });
}

/** A Namespace, or a ServiceAccount of namespace default, whose pods get identities so. */
export function labelled(
  kind: "Namespace" | "ServiceAccount",
  name: string,
  mode: string,
): DemoObject {
  const namespace = kind === "Namespace" ? {} : { namespace: "default" };
  const labels = { "innermesh.io/identity": mode };
  return { apiVersion: "v1", kind, metadata: { ...namespace, name, labels } };
}

/** Services and their EndpointSlices. */
export function serviceObjects(
  services: readonly DemoService[],
  pods: readonly PlaygroundPod[],
): readonly DemoObject[] {
  return services.flatMap((service) => {
    const chosen = pods.filter(({ name }) => service.pods === "all" || service.pods.includes(name));
    return [
      serviceObject(service),
      sliceObject(service, "ip", chosen),
      ...(service.clusterIp6 === undefined ? [] : [sliceObject(service, "ip6", chosen)]),
    ];
  });
}

/** An HTTPRoute whose parent is the Service of its name, at port 80. */
export function httpRoute(name: string, rules: readonly DemoObject[]): DemoObject {
  return routeObject("HTTPRoute", { name, port: 80 }, rules);
}

/** A GRPCRoute that sends all calls to a Service's port to the Service's own pods. */
export function grpcRoute(name: string, port: number): DemoObject {
  return routeObject("GRPCRoute", { name, port }, [{ backendRefs: [{ name, port }] }]);
}

/** A backend of a rule, at port 80. */
export function weighted(name: string, weight: number): DemoObject {
  return { name, port: 80, weight };
}

function podObject({ ip, ip6 }: AddressPair, described: DemoObject): DemoObject {
  const status = { phase: "Running", podIPs: [{ ip }, { ip: ip6 }] };
  return { apiVersion: "v1", kind: "Pod", ...described, status };
}

function routeObject(
  kind: "HTTPRoute" | "GRPCRoute",
  parent: { readonly name: string; readonly port: number },
  rules: readonly DemoObject[],
): DemoObject {
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { namespace: "default", name: parent.name },
    spec: { parentRefs: [{ group: "", kind: "Service", ...parent }], rules },
  };
}

function serviceObject(service: DemoService): DemoObject {
  const { name, clusterIp, clusterIp6, lane, affinitySeconds, nodePort } = service;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "default",
      name,
      ...(lane !== undefined && { labels: { "innermesh.io/lane": lane } }),
    },
    spec: {
      type: nodePort === undefined ? "ClusterIP" : "NodePort",
      clusterIP: clusterIp,
      clusterIPs: clusterIp6 === undefined ? [clusterIp] : [clusterIp, clusterIp6],
      ports: portsOf(service).map((port, index) => ({
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
}

function sliceObject(
  service: DemoService,
  family: "ip" | "ip6",
  pods: readonly PlaygroundPod[],
): DemoObject {
  const { name } = service;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: `${name}-${family}`,
      labels: { "kubernetes.io/service-name": name },
    },
    addressType: family === "ip" ? "IPv4" : "IPv6",
    ports: portsOf(service).map((port) => ({
      name: port.name,
      protocol: "TCP",
      port: port.targetPort,
    })),
    endpoints: pods.map(({ addresses, node }) => ({
      addresses: [addresses[family]],
      nodeName: node,
      conditions: { ready: true },
    })),
  };
}

function portsOf({ ports = PORTS }: DemoService): readonly DemoPort[] {
  return ports;
}
