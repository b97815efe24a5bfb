// Can one end reach another, and why: both directions judged together, with what happens around
// policies: a node and its own pods, pods that take nothing but tunnels, ports that only workers
// serve. For whoever wants to know before or without a packet.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Direction } from "../model/policy.ts";
import type { RequestFacts } from "../model/request-facts.ts";
import type { SpiffeUri } from "../model/tunnel-plan.ts";
import { auditsOf, judge } from "./judge.ts";
import type { PolicyIndex } from "./policy-index.ts";
import type { PolicySet } from "./policy-set.ts";
import { coversPort } from "./rule-match.ts";
import type { Flow, Verdict } from "./verdict.ts";

const OWN_NODE: Verdict = { kind: "allow", rule: "a pod reaches its own node" };

export interface CanEnd {
  /** Canonical. */
  readonly address: string;
  /** Missing where no pod has the address for itself. */
  readonly pod?: Pod;
  /** The node whose own address it is. */
  readonly node?: string;
  /** Missing where it proves none to the other end. */
  readonly identity?: SpiffeUri;
  /** It takes nothing but tunnels. */
  readonly isStrict?: boolean;
}

export interface CanQuestion {
  readonly client: CanEnd;
  readonly server: CanEnd;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  /** The server's own, behind every translation. */
  readonly port: number;
  /** Undefined: rules about requests are left open. */
  readonly request?: RequestFacts;
  /** A proxy lane of the client's node makes the connection. */
  readonly isProxied?: boolean;
}

/**
 * What carries it: a node's own processes and their pods, a tunnel between workers, a worker of the
 * node that both are on, the kernel alone; "closed": the kernel, but only workers may come.
 */
export type CanLane = "host" | "tunnel" | "worker" | "kernel" | "closed";

export interface CanAnswer {
  readonly verdict: Verdict["kind"];
  /** What decides: a rule by its name, or a sentence without its full stop. */
  readonly rule: string;
  /** The side that decides; missing where no policy does. */
  readonly by?: Direction;
  readonly lane: CanLane;
  /** Proved on the wire to whoever judges what comes in. */
  readonly identity: SpiffeUri | null;
  /** Missing where the client is no pod of its own address. */
  readonly egress?: CanSide;
  /** Missing where the server is none. */
  readonly ingress?: CanSide;
}

export interface CanSide {
  readonly verdict: Verdict;
  /** All that select the pod in that direction. */
  readonly policies: readonly string[];
  /** Rules that want it told. */
  readonly audits: readonly string[];
}

export type CanIndex = Pick<PolicyIndex, "setOf" | "groups" | "policiesOf">;

/** Judges by what the index knows at the moment. Never throws. */
export function answerCan(index: CanIndex, question: CanQuestion): CanAnswer {
  const way = wayOf(question);
  const { client, server, protocol, port, request } = question;
  const isSelf = client.pod !== undefined && client.pod === server.pod;
  const about = { protocol, port, ...(isSelf && { isSelf }) };
  const identity = way === "tunnel" ? (client.identity ?? null) : null;
  const isOwnNode = server.node !== undefined && server.node === client.pod?.nodeName;
  const outgoing = { ...about, address: server.address, identity: server.identity ?? null };
  const egress = sideOf(index, client.pod, isOwnNode ? "own-node" : "egress", outgoing);
  const ingress = sideOf(index, server.pod, "ingress", {
    ...about,
    address: client.address,
    identity,
    ...(request !== undefined && { request }),
  });
  const sides = { identity, ...(egress && { egress }), ...(ingress && { ingress }) };
  const free = freeRule(question);
  if (free !== undefined) return { verdict: "allow", rule: free, lane: "host", ...sides };
  const judged = decide(egress, ingress);
  if (isOwnNode) return { ...judged, lane: "host", ...sides };
  const closed = isSelf ? undefined : closedBy(index, question, way);
  if (closed === undefined) return { ...judged, lane: way, ...sides };
  if (judged.verdict === "deny") return { ...judged, lane: "closed", ...sides };
  return { verdict: "deny", rule: closed, lane: "closed", ...sides };
}

/** Egress is asked first: what is denied there never leaves its node. */
function decide(
  egress: CanSide | undefined,
  ingress: CanSide | undefined,
): Pick<CanAnswer, "verdict" | "rule" | "by"> {
  const sides = [
    ...(egress ? [{ by: "egress" as const, ...egress.verdict }] : []),
    ...(ingress ? [{ by: "ingress" as const, ...ingress.verdict }] : []),
  ];
  const found =
    sides.find(({ kind }) => kind === "deny") ??
    sides.find(({ kind }) => kind === "open") ??
    // Of two that allow, the server's rule is the one that people look for.
    sides.at(-1);
  if (found === undefined) return { verdict: "allow", rule: "neither end is a pod" };
  return { verdict: found.kind, rule: found.rule, by: found.by };
}

/** What the kernel lets pass whatever policies say. */
function freeRule({ client, server }: CanQuestion): string | undefined {
  if (client.node !== undefined && client.node === server.pod?.nodeName) {
    return "a node's own processes reach the pods of their node";
  }
  return undefined;
}

function wayOf({
  client,
  server,
  protocol,
  isProxied,
}: CanQuestion): "tunnel" | "worker" | "kernel" {
  if (protocol !== "TCP") return "kernel";
  if (client.identity !== undefined && server.identity !== undefined) return "tunnel";
  const nodeName = server.pod?.nodeName;
  return isProxied && nodeName !== undefined && nodeName === client.pod?.nodeName
    ? "worker"
    : "kernel";
}

/** Why the server's node drops it in the kernel although policies would let it in. */
function closedBy(index: CanIndex, question: CanQuestion, way: CanLane): string | undefined {
  const { client, server, protocol, port } = question;
  if (way === "tunnel" || server.pod === undefined) return undefined;
  const name = `${server.pod.namespace}/${server.pod.name}`;
  if (server.isStrict) return `${name} is strict: it takes nothing but tunnels`;
  if (way === "worker") return undefined;
  const set = index.setOf(server.pod, "ingress");
  if (set === undefined || set.provenPorts.length === 0) return undefined;
  if (!coversPort(set.provenPorts, protocol, port)) return undefined;
  const who =
    client.pod === undefined ? client.address : `${client.pod.namespace}/${client.pod.name}`;
  return (
    `rules about identities or requests close port ${port} of ${name} to plaintext, ` +
    `and ${who} comes without a tunnel`
  );
}

function sideOf(
  index: CanIndex,
  pod: Pod | undefined,
  about: Direction | "own-node",
  flow: Flow,
): CanSide | undefined {
  if (pod === undefined || pod.hostNetwork) return undefined;
  const direction = about === "own-node" ? "egress" : about;
  const whole: PolicySet | undefined = index.setOf(pod, direction);
  const set = about === "own-node" ? whole?.ownNode : whole;
  const isFree = about === "own-node" && set === undefined;
  return {
    verdict: isFree ? OWN_NODE : judge(set, flow, index.groups),
    policies: index.policiesOf(pod, direction),
    audits: auditsOf(set, flow, index.groups),
  };
}
