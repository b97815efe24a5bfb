// Which nodes take tunnels, by what the cluster says of them and never by trying: whoever can make
// a trial fail could turn ciphertext into plaintext (threat T24). Pure; what is remembered is a
// value.

import type { Pod } from "../../lib/kube/api/pod.ts";

/**
 * On pods of the agent that takes tunnels for all enrolled pods of its node. Any value says so but
 * NO_TUNNEL: manifests write the node's identity mode there.
 */
export const TUNNEL_LABEL = "innermesh.io/tunnel";
const NO_TUNNEL = "none";

/** An agent that is replaced is back long before; a node that left the mesh is plain after it. */
export const REMEMBERED_MS = 600_000;

/** Nodes that take tunnels: with an agent, or since when (monotonic ms) they have none. */
export type PeerNodes = ReadonlyMap<string, "with-agent" | { readonly goneMs: number }>;

/**
 * Looks at all pods again. An agent counts from the moment it is scheduled, so that nobody is met
 * in plaintext while it starts. It must be of the host's network: elsewhere the label is a
 * tenant's.
 * @returns `before` itself when nothing is new
 */
export function nextPeerNodes(before: PeerNodes, pods: Iterable<Pod>, nowMs: number): PeerNodes {
  const after = new Map<string, "with-agent" | { readonly goneMs: number }>();
  for (const pod of pods) if (takesTunnels(pod)) after.set(pod.nodeName, "with-agent");
  for (const [node, known] of before) {
    if (after.has(node)) continue;
    const gone = known === "with-agent" ? { goneMs: nowMs } : known;
    if (nowMs - gone.goneMs < REMEMBERED_MS) after.set(node, gone);
  }
  const isSame =
    after.size === before.size && [...after].every(([n, state]) => before.get(n) === state);
  return isSame ? before : after;
}

/** When the first node will be forgotten, monotonic ms; Infinity when none will. */
export function forgetsAtMs(nodes: PeerNodes): number {
  const times = [...nodes.values()].map((state) =>
    state === "with-agent" ? Infinity : state.goneMs + REMEMBERED_MS,
  );
  return Math.min(Infinity, ...times);
}

/** Whether it is an agent at all, with tunnels or without. */
export function isNodeAgent({ labels, hostNetwork, isOver, nodeName }: Pod): boolean {
  return TUNNEL_LABEL in labels && hostNetwork && !isOver && nodeName !== "";
}

/** Whether it is an agent that takes tunnels for the pods of its node. */
export function takesTunnels(pod: Pod): boolean {
  return isNodeAgent(pod) && pod.labels[TUNNEL_LABEL] !== NO_TUNNEL;
}
