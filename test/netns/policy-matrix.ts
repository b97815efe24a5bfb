// Every way to every pod, and what the evaluator says of it.

import type { SampleEvaluator } from "../../netpol-identity/evaluate/sample-evaluator.ts";
import type { PlaygroundHost, PlaygroundPod } from "../../playground/topology.ts";
import type { PolicyEntry, PolicyProbe } from "./policy-probe.ts";
import type { PolicyRig, PolicyRigOptions } from "./policy-rig.ts";
import { SERVED_PORTS } from "./policy-services.ts";
import { FAMILIES } from "./served-node.ts";

interface Way {
  readonly client: PlaygroundHost;
  readonly server: PlaygroundPod;
  readonly entry: PolicyEntry;
  /** Whose address the server's node sees. */
  readonly seen: PlaygroundHost;
  /** What the client proves, where it is no pod. */
  readonly identity?: string;
}

/** Of a node's own processes: that of its agent. */
const HOST = "spiffe://cluster.local/ns/kube-system/sa/innermesh-node";

/** All of them, among the pods and from each node and outside. */
export function matrixProbes(
  rig: PolicyRig,
  evaluator: SampleEvaluator,
  { hasIdentities = false }: Omit<PolicyRigOptions, "podsPerNode">,
): readonly PolicyProbe[] {
  const pods = new Set<PlaygroundHost>(rig.pods);
  const nodes = new Set<PlaygroundHost>(rig.playground.nodes);
  return waysOf(rig).flatMap((way) => {
    // A tunnel keeps its client, whatever it called.
    const kept = hasIdentities && pods.has(way.client) ? { ...way, seen: way.client } : way;
    const isHost = hasIdentities && nodes.has(way.client);
    return [
      ...probesOf({ ...kept, ...(isHost && { identity: HOST }) }, "TCP", evaluator),
      ...probesOf(way, "UDP", evaluator),
    ];
  });
}

function waysOf({ pods, playground }: PolicyRig): readonly Way[] {
  const { client, nodes } = playground;
  const fromPods = pods.flatMap((from) => {
    const own = nodes.find(({ name }) => name === from.node) ?? from;
    const servers = pods.filter((server) => server !== from);
    return servers.flatMap((server) => [
      wayOf(from, server, "pod"),
      wayOf(from, server, "service"),
      // It enters at the client's own node and has that node's address on the way to another.
      wayOf(from, server, "nodePort", server.node === own.name ? from : own),
    ]);
  });
  const fromNodes = nodes.flatMap((node) =>
    pods.flatMap((server) => [wayOf(node, server, "pod"), wayOf(node, server, "service")]),
  );
  const [first] = nodes;
  const fromOutside = pods.flatMap((server) => [
    wayOf(client, server, "pod"),
    wayOf(client, server, "nodePort", server.node === first?.name ? client : first),
  ]);
  return [...fromPods, ...fromNodes, ...fromOutside];
}

function wayOf(
  client: PlaygroundHost,
  server: PlaygroundPod,
  entry: PolicyEntry,
  seen: PlaygroundHost = client,
): Way {
  return { client, server, entry, seen };
}

function probesOf(
  { client, server, entry, seen, identity }: Way,
  protocol: PolicyProbe["protocol"],
  evaluator: SampleEvaluator,
): readonly PolicyProbe[] {
  return FAMILIES.flatMap((family) =>
    SERVED_PORTS.map((port): PolicyProbe => {
      const to = server.addresses[family];
      const out = evaluator.egress({ from: client.addresses[family], to, protocol, port });
      const proven = identity === undefined ? {} : { identity };
      const visit = { from: seen.addresses[family], to, protocol, port, ...proven };
      const into = evaluator.ingress(visit);
      // The kubelet's probes, among other things of the node.
      const isOwn = client.name === server.node;
      const isAllowed = isOwn || (out.kind === "allow" && into.kind === "allow");
      const names = { client: client.name, server: server.name };
      return { ...names, entry, family, protocol, port, isAllowed };
    }),
  );
}
