// The objects of the route tests: Services over HTTP backends, and routes whose parents they are.

import type { PlaygroundPod } from "../../playground/topology.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";
import { DEAD_PORT, HTTP1_PORT, HTTP2_PORT } from "./http-backend-protocol.ts";

/** Where producers, their routes and most clients live. */
export const SHOP = "shop";
/** Where consumers live. */
export const CONSUMER = "consumer";
/** Needs a ReferenceGrant. */
export const VAULT = "vault";

/** Ports of every Service: HTTP/1.1, and HTTP/2 by its appProtocol. */
export const PLAIN_PORT = 80;
export const H2C_PORT = 8000;
const BASE_NODE_PORT = 31_000;

/** A Service of the tests; its number decides its addresses. */
export interface HttpService {
  readonly name: string;
  /** 1–99 for those that are called, above for those that routes send to; below 250. */
  readonly number: number;
  /** @default "shop" */
  readonly namespace?: string;
  readonly pods: readonly string[];
  /** Of these pods nobody listens on the ports. */
  readonly deadPods?: readonly string[];
  /** Of port 80. */
  readonly appProtocol?: string;
}

/** Stands in rules for the name of the Service that is the route's parent. */
export const PARENT = "$parent";

/** A route without its parent, which is the Service of its test. */
export interface RouteSpec {
  /** @default "HTTPRoute" */
  readonly kind?: "HTTPRoute" | "GRPCRoute";
  /** @default its Service's */
  readonly name?: string;
  /** @default "shop" */
  readonly namespace?: string;
  /** Scopes it to one port. */
  readonly port?: number;
  /** Routes are ordered by age. @default 0 */
  readonly createdMinute?: number;
  readonly rules: readonly Readonly<Record<string, unknown>>[];
}

export function serviceAddresses(number: number): { readonly ip: string; readonly ip6: string } {
  return { ip: `10.96.1.${number}`, ip6: `fd96::${(0x100 + number).toString(16)}` };
}

export function nodePortOf(number: number): number {
  return BASE_NODE_PORT + number;
}

/** The Service and its slices, both families. */
export function serviceManifests(
  service: HttpService,
  pods: readonly PlaygroundPod[],
): readonly Manifest[] {
  const { name, number, namespace = SHOP, deadPods = [], appProtocol } = service;
  const { ip, ip6 } = serviceAddresses(number);
  const families = ["ip", "ip6"] as const;
  const slices = families.flatMap((family) => {
    const slice = (suffix: string, names: readonly string[], isDead: boolean): Manifest => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        namespace,
        name: `${name}-${family}-${suffix}`,
        labels: { "kubernetes.io/service-name": name },
      },
      addressType: family === "ip" ? "IPv4" : "IPv6",
      ports: [
        { name: "http", protocol: "TCP", port: isDead ? DEAD_PORT : HTTP1_PORT },
        { name: "h2c", protocol: "TCP", port: isDead ? DEAD_PORT : HTTP2_PORT },
      ],
      endpoints: pods
        .filter((pod) => names.includes(pod.name))
        .map(({ addresses, node }) => ({ addresses: [addresses[family]], nodeName: node })),
    });
    return [slice("live", service.pods, false), slice("dead", deadPods, true)];
  });
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { namespace, name },
      spec: {
        type: "NodePort",
        clusterIP: ip,
        clusterIPs: [ip, ip6],
        ipFamilies: ["IPv4", "IPv6"],
        ipFamilyPolicy: "RequireDualStack",
        ports: [
          {
            name: "http",
            protocol: "TCP",
            port: PLAIN_PORT,
            targetPort: HTTP1_PORT,
            nodePort: nodePortOf(number),
            ...(appProtocol !== undefined && { appProtocol }),
          },
          {
            name: "h2c",
            protocol: "TCP",
            port: H2C_PORT,
            targetPort: HTTP2_PORT,
            appProtocol: "kubernetes.io/h2c",
            nodePort: nodePortOf(number) + 300,
          },
        ],
      },
    },
    ...slices,
  ];
}

/** @param parent name of a Service in `shop` */
export function routeManifest(route: RouteSpec, parent: string): Manifest {
  const { kind = "HTTPRoute", namespace = SHOP, name = parent, createdMinute = 0 } = route;
  const minute = `${createdMinute}`.padStart(2, "0");
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { namespace, name, creationTimestamp: `2026-01-01T00:${minute}:00Z` },
    spec: {
      parentRefs: [
        {
          group: "",
          kind: "Service",
          name: parent,
          ...(namespace !== SHOP && { namespace: SHOP }),
          ...(route.port !== undefined && { port: route.port }),
        },
      ],
      rules: JSON.parse(JSON.stringify(route.rules).replaceAll(PARENT, parent)),
    },
  };
}

/** Allows HTTPRoutes and GRPCRoutes of `shop` to send to Services of `vault`. */
export const VAULT_GRANT: Manifest = {
  apiVersion: "gateway.networking.k8s.io/v1beta1",
  kind: "ReferenceGrant",
  metadata: { namespace: VAULT, name: "from-shop" },
  spec: {
    from: ["HTTPRoute", "GRPCRoute"].map((kind) => ({
      group: "gateway.networking.k8s.io",
      kind,
      namespace: SHOP,
    })),
    to: [{ group: "", kind: "Service" }],
  },
};

/** A pod as the API has it: what a proxy knows its clients by. */
export function podManifest(pod: PlaygroundPod, namespace: string): Manifest {
  const { name, node, addresses } = pod;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name },
    spec: { nodeName: node, serviceAccountName: "default" },
    status: { phase: "Running", podIPs: [{ ip: addresses.ip }, { ip: addresses.ip6 }] },
  };
}
