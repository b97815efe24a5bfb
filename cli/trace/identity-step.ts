// What identities do with a packet that no lane of a Service took: whose worker carries it, or who
// refuses it. Says what plan/entry-rules.ts and plan/closed-rules.ts of netpol-identity do. Pure.

import { TUNNEL_PORT } from "../../netpol-identity/model/tunnel-plan.ts";
import { NOBODY } from "../../netpol-identity/plan/tunnel-plan.ts";
import type { EnrolledPods, Snapshot } from "../snapshot.ts";

export interface PassedPacket {
  readonly source: string;
  /** Undefined for a process of the node itself. */
  readonly interface?: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** After translation, one for each endpoint that chance could draw. */
  readonly destinations: readonly { readonly address: string; readonly port: number }[];
  /** The kernel rewrote the destination. */
  readonly translated: boolean;
}

/** @returns a verdict that stands for the table's own; undefined when identities change nothing */
export function identityVerdict(
  { identities, settings }: Pick<Snapshot, "identities" | "settings">,
  packet: PassedPacket,
): string | undefined {
  if (identities === undefined) return undefined;
  const isTakeable = packet.protocol === "tcp" && !packet.translated;
  const taken = isTakeable ? takenVerdict(identities, settings.identity, packet) : undefined;
  return taken ?? closedVerdict(identities, packet);
}

/**
 * The identity that a worker dials by tunnel to reach an endpoint, for a client of this node.
 * @param isHost the client is a process of the node itself
 */
export function tunnelTo(
  identities: EnrolledPods | undefined,
  { address, isHost }: { readonly address: string; readonly isHost: boolean },
  endpoint: string,
): string | undefined {
  if (identities === undefined) return undefined;
  const { workloads, peers, host } = identities.plan;
  const isKnown = isHost ? host !== undefined : workloads.has(address);
  return isKnown ? peers.get(endpoint)?.identity : undefined;
}

function takenVerdict(
  { plan: { workloads, peers, host, policy } }: EnrolledPods,
  { tunnelPort, directPort }: Snapshot["settings"]["identity"],
  { source, interface: through, destinations: [to] }: PassedPacket,
): string | undefined {
  const taken = (port: number): string =>
    `taken by a proxy worker of this node, at its port ${port}`;
  if (to === undefined) return undefined;
  const local = workloads.get(to.address);
  if (to.port === TUNNEL_PORT) {
    if (local === undefined) return undefined;
    if (through === undefined) return "refused: processes of a node call its pods without a tunnel";
    return `${taken(tunnelPort)}, where tunnels to ${local.identity} end`;
  }
  const identity = (local ?? peers.get(to.address))?.identity;
  if (identity === undefined) return undefined;
  if (through === undefined) {
    if (host === undefined || policy.hostCalls?.includes(to.address) !== true) return undefined;
    return `${taken(directPort)}, which carries it by tunnel to ${identity}, as ${host.identity}`;
  }
  if (!workloads.has(source)) return undefined;
  if (identity === NOBODY)
    return `${taken(directPort)}, which resets it: two pods claim ${to.address}`;
  return local === undefined
    ? `${taken(directPort)}, which carries it by tunnel to ${identity}`
    : `${taken(directPort)}, which checks both identities and calls ${identity}`;
}

/** Strict pods take nothing but what a worker hands them, save from their own node's processes. */
function closedVerdict(
  { plan: { policy } }: EnrolledPods,
  { interface: through, destinations, translated }: PassedPacket,
): string | undefined {
  const isStrict = ({ mode }: { readonly mode: string }): boolean => mode === "strict";
  const here = new Set(policy.pods.filter(isStrict).flatMap(({ addresses }) => addresses));
  const elsewhere = new Set(policy.peers.filter(isStrict).map(({ address }) => address));
  const closed = destinations
    .map(({ address }) => address)
    .filter((address) => elsewhere.has(address) || (through !== undefined && here.has(address)));
  if (closed.length === 0) return undefined;
  const names = [...new Set(closed)].join(", ");
  const where = closed.every((address) => here.has(address)) ? "here" : "at its node";
  const verdict = `dropped ${where}: ${names} is strict and takes no plaintext`;
  return translated ? `translated, but ${verdict}` : verdict;
}
