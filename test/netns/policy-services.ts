// A Service for each pod of the policies' tests, of another port than the server has: rules are
// about what is behind it.

import type { Family } from "../../lib/nft/objects.ts";
import type { Manifest } from "../../netpol-identity/evaluate/sample-policy-objects.ts";
import type { PlaygroundPod } from "../../playground/topology.ts";

/** Of every server, over TCP and UDP. */
export const SERVED_PORTS = [80, 81] as const;
const FAMILIES = ["ip", "ip6"] as const;
const PROTOCOLS = ["TCP", "UDP"] as const;

/**
 * The Service in front of one pod and its slices.
 * @param number decides its addresses, 1–99
 */
export function serviceObjects(
  pod: PlaygroundPod,
  number: number,
  labels: Readonly<Record<string, string>>,
): readonly Manifest[] {
  const metadata = { namespace: "default", name: pod.name, labels };
  const ports = PROTOCOLS.flatMap((protocol) =>
    SERVED_PORTS.map((port) => ({
      name: `${protocol.toLowerCase()}-${port}`,
      protocol,
      port: servicePort(port),
      targetPort: port,
      nodePort: nodePort(number, port),
    })),
  );
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: {
      type: "NodePort",
      clusterIP: clusterIp(number, "ip"),
      clusterIPs: FAMILIES.map((family) => clusterIp(number, family)),
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
      ports,
    },
  };
  const slicePorts = ports.map(({ name, protocol, targetPort }) => ({
    name,
    protocol,
    port: targetPort,
  }));
  const slices = FAMILIES.map((family) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: `${pod.name}-${family}`,
      labels: { "kubernetes.io/service-name": pod.name },
    },
    addressType: family === "ip" ? "IPv4" : "IPv6",
    ports: slicePorts,
    endpoints: [{ addresses: [pod.addresses[family]], nodeName: pod.node }],
  }));
  return [service, ...slices];
}

export function clusterIp(number: number, family: Family): string {
  return family === "ip" ? `10.96.1.${number}` : `fd96::${(0x100 + number).toString(16)}`;
}

export function servicePort(port: number): number {
  return 1_000 + port;
}

export function nodePort(number: number, port: number): number {
  return 30_000 + number * 10 + (port % 10);
}
