// What a run finds out before its first case: nodes, families, the proxy's mode, and whether this
// machine reaches the nodes and can be the client outside.

import type { Clock } from "../lib/clock/clock.ts";
import type { Address, AddressFamily } from "../lib/ip/address.ts";
import { type Agent, addressOf, agentPorts } from "./agent-identity.ts";
import { type AgentTransport, StreamTransport } from "./agent-transport.ts";
import { type Cluster, RefusedError } from "./cluster/cluster.ts";
import { ownControl } from "./cluster/socket-control.ts";
import type { ClusterFacts } from "./cluster-facts.ts";

const probeTimeoutMs = 2_000;

/** Asks the cluster what cases need to know. */
export async function discoverFacts(
  cluster: Cluster,
  transport: AgentTransport,
): Promise<ClusterFacts> {
  const { agents } = transport;
  const offered = await serviceFamilies(cluster);
  const families = offered.filter((family) =>
    agents.some((agent) => agent.place === "pod" && addressOf(agent, family) !== undefined),
  );
  const nodes = await cluster.nodes();
  const proxyMode = await askProxyMode(transport);
  return { agents, nodes, families, ...(proxyMode !== undefined && { proxyMode }) };
}

/**
 * This machine as the client outside, if it reaches a node: an echo there tells the address it is
 * seen by, also behind a NAT.
 * @param hosts agents in the network of their nodes
 */
export async function findOutsideAgent(
  hosts: readonly Agent[],
  clock: Clock,
): Promise<Agent | undefined> {
  const agent: Agent = {
    name: "outside",
    place: "outside",
    node: "outside",
    addresses: [],
    ports: agentPorts.outside,
  };
  await using transport = new StreamTransport({ agents: [agent], open: ownControl, clock });
  const seen: Address[] = [];
  for (const family of ["ip", "ip6"] as const) {
    const host = hosts.find((one) => addressOf(one, family) !== undefined);
    const address = host && addressOf(host, family);
    if (host === undefined || address === undefined) continue;
    const probe = { protocol: "tcp", address, port: host.ports.tcp[0] ?? 0 } as const;
    const limited = { ...probe, timeoutMs: probeTimeoutMs };
    const [result] = await transport.probe(agent, limited, 1, 1);
    // Seen by its own address: this machine is that node, and no stranger to it.
    const client = result?.kind === "reply" ? result.echo?.client : undefined;
    if (client !== undefined && !hosts.some((one) => one.addresses.includes(client))) {
      seen.push(client);
    }
  }
  return seen.length === 0 ? undefined : { ...agent, addresses: seen };
}

async function serviceFamilies(cluster: Cluster): Promise<readonly AddressFamily[]> {
  const name = "families";
  const { spec } = await cluster
    .createService({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { ipFamilyPolicy: "PreferDualStack", ports: [{ port: 1 }] },
    })
    .catch(async (error: unknown) => {
      // Left by a run that was killed between these two calls.
      if (!(error instanceof RefusedError) || error.status !== 409) throw error;
      return cluster.patchService(name, {});
    });
  await cluster.deleteService(name);
  return (spec?.ipFamilies ?? []).map((family) => (family === "IPv6" ? "ip6" : "ip"));
}

async function askProxyMode(transport: AgentTransport): Promise<string | undefined> {
  const host = transport.agents.find((agent) => agent.place === "host");
  if (host === undefined) return undefined;
  const probe = {
    protocol: "http",
    address: "127.0.0.1",
    port: 10_249,
    path: "/proxyMode",
  } as const;
  const [result] = await transport.probe(host, { ...probe, timeoutMs: probeTimeoutMs }, 1, 1);
  return result?.kind === "reply" && result.status === 200 ? result.text.trim() : undefined;
}
