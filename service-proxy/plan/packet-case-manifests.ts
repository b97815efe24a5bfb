// The Kubernetes objects and addresses of a packet case, as a user would apply them.

import type { Family } from "../../lib/nft/objects.ts";
import type { CaseEndpoint, Entry, PacketCase } from "./packet-cases.ts";

/** What a case needs to know about a pod: where it runs and its addresses. */
export interface CasePod {
  readonly name: string;
  readonly node: string;
  readonly addresses: Readonly<Record<Family, string>>;
}

export interface CaseNode {
  readonly name: string;
  readonly addresses: Readonly<Record<Family, string>>;
  readonly podCidrs: Readonly<Record<Family, string>>;
}

/** A Kubernetes object, to be written as JSON or YAML. */
export type Manifest = Readonly<Record<string, unknown>>;

/** Backends listen here, over TCP and UDP. */
export const BACKEND_PORT = 9090;
export const SERVICE_PORT = 80;

/** Addresses of node-1 beside its primary ones; the netns execution adds them to an interface. */
export const OTHER_ADDRESSES: Readonly<Record<Family, string>> = {
  ip: "198.51.100.11",
  ip6: "2001:db8:100::11",
};
const LOOPBACK: Readonly<Record<Family, string>> = { ip: "127.0.0.1", ip6: "::1" };

/** Where each entry point of the case with this number is, for a client of node-1. */
export function entryAddress(
  entry: Entry,
  number: number,
  family: Family,
  node: CaseNode,
): { readonly address: string; readonly port: number } {
  const port = SERVICE_PORT;
  switch (entry) {
    case "cluster":
      return { address: clusterIp(number, family), port };
    case "unused port":
      return { address: clusterIp(number, family), port: 81 };
    case "unallocated":
      return { address: family === "ip" ? "10.96.200.1" : "fd96::c801", port };
    case "external":
      return { address: externalIp(number, family), port };
    case "balancer":
      return { address: balancerIp(number, family), port };
    case "nodePort":
      return { address: node.addresses[family], port: nodePort(number) };
    case "nodePort on other address":
      return { address: OTHER_ADDRESSES[family], port: nodePort(number) };
    case "nodePort on loopback":
      return { address: LOOPBACK[family], port: nodePort(number) };
    default:
      return entry satisfies never;
  }
}

/**
 * The Service and slices of one case.
 * @param number unique within what one node serves, 1–99
 */
export function caseManifests(
  packetCase: PacketCase,
  number: number,
  pods: readonly CasePod[],
): readonly Manifest[] {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name: `case-${number}`, ...packetCase.metadata },
    spec: {
      type: "LoadBalancer",
      clusterIP: clusterIp(number, "ip"),
      clusterIPs: [clusterIp(number, "ip"), clusterIp(number, "ip6")],
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      externalIPs: [externalIp(number, "ip"), externalIp(number, "ip6")],
      ports: ["TCP", "UDP"].map((protocol) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: SERVICE_PORT,
        targetPort: BACKEND_PORT,
        nodePort: nodePort(number),
      })),
      ...packetCase.spec,
    },
    status: {
      loadBalancer: {
        ingress: [balancerIp(number, "ip"), balancerIp(number, "ip6")].map((ip) => ({
          ip,
          ...(packetCase.ipMode === undefined ? {} : { ipMode: packetCase.ipMode }),
        })),
      },
    },
  };
  const slices = packetCase.slices.flatMap((endpoints, index) =>
    (["ip", "ip6"] as const).map((family) =>
      sliceManifest(`case-${number}`, `${index}-${family}`, family, endpoints, pods),
    ),
  );
  return [service, ...slices];
}

/** A Node with its zone: node-1 in zone-a, node-2 in zone-b. */
export function nodeManifest(node: CaseNode): Manifest {
  const zone = node.name === "node-1" ? "zone-a" : "zone-b";
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node.name, labels: { "topology.kubernetes.io/zone": zone } },
    spec: { podCIDR: node.podCidrs.ip, podCIDRs: [node.podCidrs.ip, node.podCidrs.ip6] },
    status: {
      addresses: [
        { type: "Hostname", address: node.name },
        { type: "InternalIP", address: node.addresses.ip },
        { type: "InternalIP", address: node.addresses.ip6 },
      ],
    },
  };
}

export const SERVICE_CIDR_MANIFEST: Manifest = {
  apiVersion: "networking.k8s.io/v1",
  kind: "ServiceCIDR",
  metadata: { name: "kubernetes" },
  spec: { cidrs: ["10.96.0.0/16", "fd96::/112"] },
};

function sliceManifest(
  service: string,
  suffix: string,
  family: Family,
  endpoints: readonly CaseEndpoint[],
  pods: readonly CasePod[],
): Manifest {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: `${service}-${suffix}`,
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: family === "ip" ? "IPv4" : "IPv6",
    ports: ["TCP", "UDP"].map((protocol) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: BACKEND_PORT,
    })),
    endpoints: endpoints.map((endpoint) => {
      const pod = pods.find(({ name }) => name === endpoint.pod);
      if (pod === undefined)
        throw new Error(`Cannot place endpoint "${endpoint.pod}": no such pod`);
      const zones = endpoint.zones?.map((name) => ({ name }));
      const nodes = endpoint.nodes?.map((name) => ({ name }));
      const hints = { ...(zones && { forZones: zones }), ...(nodes && { forNodes: nodes }) };
      return {
        addresses: [pod.addresses[family]],
        nodeName: pod.node,
        ...(endpoint.conditions && { conditions: endpoint.conditions }),
        ...((zones ?? nodes) && { hints }),
      };
    }),
  };
}

function clusterIp(number: number, family: Family): string {
  return family === "ip" ? `10.96.1.${number}` : `fd96::${(0x100 + number).toString(16)}`;
}

function externalIp(number: number, family: Family): string {
  return family === "ip" ? `203.0.113.${number}` : `2001:db8:113::${number.toString(16)}`;
}

function balancerIp(number: number, family: Family): string {
  const host = 100 + number;
  return family === "ip" ? `203.0.113.${host}` : `2001:db8:113::${host.toString(16)}`;
}

function nodePort(number: number): number {
  return 30_100 + number;
}
