// Whether the kernel would let a tracked flow in, if it began now.

import type { Address } from "../../lib/ip/address.ts";
import {
  type ConntrackEntry,
  protocolTcp,
  protocolUdp,
} from "../../lib/netlink/conntrack-entry.ts";
import { judge } from "../evaluate/judge.ts";
import type { Groups, PolicySet } from "../evaluate/policy-set.ts";
import { coversPort } from "../evaluate/rule-match.ts";
import type { NetworkPod } from "./network-world.ts";

export interface FlowWorld {
  /** By address, the pods of this node that some policy selects. */
  readonly pods: ReadonlyMap<Address, Pick<NetworkPod, "ingress" | "egress">>;
  readonly groups: Groups;
  /** Of the enrolled pod with an address; null for all others. */
  readonly identityOf: (address: Address) => string | null;
  /** This node's own addresses, which its pods may call unless the cluster's admin denies it. */
  readonly isHost: (address: Address) => boolean;
  /** Those of Services: their flows are a worker's. */
  readonly isService: (address: Address) => boolean;
}

/** Judged by the ends that the forward hook sees: the client itself, the server behind DNAT. */
export function isDenied({ protocol, original, reply }: ConntrackEntry, world: FlowWorld): boolean {
  const [client, server] = [original.source, reply.source];
  const egress = world.pods.get(client)?.egress;
  const ingress = world.pods.get(server)?.ingress;
  if (egress === undefined && ingress === undefined) return false;
  const isToHost = !world.pods.has(server) && world.isHost(server);
  if (isLeftAlone(client, world) || (!isToHost && isLeftAlone(server, world))) return false;
  const flow = {
    protocol: nameOf(protocol),
    port: reply.sourcePort,
    ...(client === server && { isSelf: true as const }),
  };
  const outgoing = { ...flow, address: server, identity: world.identityOf(server) };
  const callable = isToHost ? egress?.ownNode : egress;
  if (judge(callable, outgoing, world.groups).kind !== "allow") return true;
  // Only workers let in what has to be proved.
  if (!flow.isSelf && isClosed(ingress, flow)) return true;
  const incoming = { ...flow, address: client, identity: null };
  return judge(ingress, incoming, world.groups).kind !== "allow";
}

/** Whoever writes a Service may call it by a pod's address: the pod's flows stay the pod's. */
function isLeftAlone(end: Address, { pods, isHost, isService }: FlowWorld): boolean {
  return !pods.has(end) && (isHost(end) || isService(end));
}

function isClosed(
  set: PolicySet | undefined,
  { protocol, port }: { readonly protocol: "TCP" | "UDP" | "SCTP"; readonly port: number },
): boolean {
  return (
    set !== undefined && set.provenPorts.length > 0 && coversPort(set.provenPorts, protocol, port)
  );
}

/** Of those that are walked. */
function nameOf(protocol: number): "TCP" | "UDP" | "SCTP" {
  return protocol === protocolTcp ? "TCP" : protocol === protocolUdp ? "UDP" : "SCTP";
}
