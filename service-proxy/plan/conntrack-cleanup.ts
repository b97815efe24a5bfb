// Which tracked UDP flows must go, so that their next packet meets the rules of today. Conntrack
// decides NAT once per flow; a UDP client that never pauses would talk to a dead endpoint for
// ever. TCP and SCTP flows end by themselves and are never touched: deleting their entries breaks
// graceful closes (kubernetes#100755, #102631).

import { type ConntrackEntry, protocolUdp } from "../../lib/netlink/conntrack-entry.ts";
import {
  nothingRetired,
  type RetiredTargets,
  type SocketKey,
  socketKey,
  type UdpTargets,
} from "../model/udp-targets.ts";

/** Why an entry goes. */
export type StaleReason =
  /** It leads to an endpoint that may not answer there; the last endpoint gone included. */
  | "endpoint-gone"
  /** It began before the Service was served, so nothing was translated: a black hole. */
  | "untranslated"
  /** Its Service, port or NodePort is gone. */
  | "service-gone";

/**
 * Says why a tracked flow is stale, or undefined when it must be kept.
 * Untranslated flows in a zone other than 0 are kept: switches that track in zones of their own
 * see the Service address before it is translated, and that is no fault.
 */
export function staleReason(
  entry: ConntrackEntry,
  targets: UdpTargets,
  retired: RetiredTargets = nothingRetired,
): StaleReason | undefined {
  if (entry.protocol !== protocolUdp) return undefined;
  const { original, reply } = entry;
  const translated =
    reply.source !== original.destination || reply.sourcePort !== original.destinationPort;
  const key = socketKey(original.destination, original.destinationPort);
  const endpoints = answering(entry, key, targets);
  if (endpoints === undefined) {
    return translated && isRetired(entry, key, targets, retired) ? "service-gone" : undefined;
  }
  if (endpoints.has(socketKey(reply.source, reply.sourcePort))) return undefined;
  if (translated) return "endpoint-gone";
  return entry.zone === 0 ? "untranslated" : undefined;
}

/** Addresses win over NodePorts, as in the ruleset: an externalIP may be a node's own address. */
function answering(
  entry: ConntrackEntry,
  key: SocketKey,
  targets: UdpTargets,
): ReadonlySet<SocketKey> | undefined {
  const { destination, destinationPort } = entry.original;
  const byAddress = targets.addresses.get(key);
  if (byAddress !== undefined || !targets.nodePortAddresses.has(destination)) return byAddress;
  return targets.nodePorts.get(destinationPort);
}

function isRetired(
  entry: ConntrackEntry,
  key: SocketKey,
  targets: UdpTargets,
  retired: RetiredTargets,
): boolean {
  const { destination, destinationPort } = entry.original;
  if (retired.addresses.has(key)) return true;
  return targets.nodePortAddresses.has(destination) && retired.nodePorts.has(destinationPort);
}
