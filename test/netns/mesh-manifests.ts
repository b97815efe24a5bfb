// Pods of a mesh as the API would show them, and the agents that say that their nodes take tunnels.

import type { PlaygroundNode, PlaygroundPod } from "../../playground/topology.ts";
import type { Manifest } from "../../service-proxy/plan/packet-case-manifests.ts";

/** What differs from a pod's default. */
export interface MeshPod {
  /** @default its own name */
  readonly serviceAccount?: string;
  readonly uid?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** What says that a node takes tunnels. */
export function agentManifest({ name, addresses }: PlaygroundNode): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace: "kube-system",
      name: `innermesh-${name}`,
      uid: `agent-${name}`,
      labels: { "innermesh.io/tunnel": "hbone" },
    },
    spec: { nodeName: name, hostNetwork: true, serviceAccountName: "innermesh-node" },
    status: { phase: "Running", podIPs: [{ ip: addresses.ip }, { ip: addresses.ip6 }] },
  };
}

/** A running pod of the namespace `default`. */
export function podManifest(
  { name, node, addresses }: PlaygroundPod,
  { serviceAccount = name, uid = `uid-${name}`, labels = {} }: MeshPod,
): Manifest {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "default", name, uid, labels },
    spec: { nodeName: node, serviceAccountName: serviceAccount },
    status: { phase: "Running", podIPs: [{ ip: addresses.ip }, { ip: addresses.ip6 }] },
  };
}
