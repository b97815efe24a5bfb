// The Pods that a run places in a live cluster: pod agents on every node and one agent in each
// node's own network. Pure.

import type { Agent, AgentPlace } from "../agent-identity.ts";
import { agentPorts } from "../agent-identity.ts";
import type { Pod } from "./api-objects.ts";

/** Where the agent's socket is, in a volume of its own: the root file system is read-only. */
export const controlPath = "/run/conformance/control.sock";
export const containerName = "agent";
/** Where the image has it: not every runtime sets PATH. */
export const program = "/usr/bin/innermesh";

export interface PlannedPod {
  readonly name: string;
  readonly place: Exclude<AgentPlace, "outside">;
  readonly node: string;
}

/** Which agents to place: at least three pods, and two on the first node. */
export function planAgentPods(nodes: readonly string[]): readonly PlannedPod[] {
  const onFirst = nodes.length === 1 ? ["pod-0-a", "pod-0-b", "pod-0-c"] : ["pod-0-a", "pod-0-b"];
  return nodes.flatMap((node, index): PlannedPod[] => {
    const pods = index === 0 ? onFirst : [`pod-${index}-a`];
    return [
      ...pods.map((name) => ({ name, place: "pod" as const, node })),
      { name: `host-${index}`, place: "host", node },
    ];
  });
}

/** The Pod of an agent, bound to its node: where it runs is the point of it. */
export function agentPod(planned: PlannedPod, image: string, labels: Record<string, string>): Pod {
  const { name, place, node } = planned;
  const { ready } = agentPorts[place];
  const probe = { httpGet: { path: "/", port: ready ?? 0 }, periodSeconds: 1, failureThreshold: 1 };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels },
    spec: {
      nodeName: node,
      hostNetwork: place === "host",
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: "Exists" }],
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        fsGroup: 65_532,
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [
        {
          name: containerName,
          image,
          command: [program, "conformance", "agent"],
          args: [`--place=${place}`, `--control=${controlPath}`],
          env: [
            fieldEnvironment("AGENT_NAME", "metadata.name"),
            fieldEnvironment("AGENT_NODE", "spec.nodeName"),
            fieldEnvironment("AGENT_ADDRESSES", "status.podIPs"),
          ],
          ...(ready !== undefined && { readinessProbe: probe }),
          resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "256Mi" } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"] },
          },
          volumeMounts: [{ name: "run", mountPath: "/run/conformance" }],
        },
      ],
      volumes: [{ name: "run", emptyDir: { medium: "Memory" } }],
    },
  };
}

/** The agent that a running Pod is; undefined until it is ready and has addresses. */
export function agentOf(planned: PlannedPod, { status }: Pod): Agent | undefined {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  const addresses = (status?.podIPs ?? []).map(({ ip }) => ip);
  if (!ready || addresses.length === 0) return undefined;
  return { ...planned, addresses, ports: agentPorts[planned.place] };
}

/** Why a Pod is not ready, as far as its status tells. */
export function waitingReason({ status }: Pod): string {
  const [container] = status?.containerStatuses ?? [];
  const { waiting, terminated } = container?.state ?? {};
  const reason = waiting?.reason ?? terminated?.reason ?? status?.reason ?? status?.phase;
  const message = waiting?.message ?? terminated?.message ?? status?.message;
  return [reason ?? "unknown", ...(message === undefined ? [] : [message])].join(": ");
}

function fieldEnvironment(name: string, fieldPath: string) {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}
