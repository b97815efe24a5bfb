// What `innermesh identity` tells of a node: who has which certificate, which pods have an identity
// and by which rule, whom the node trusts. Made of what anybody may see: no key gets in here.

import { X509Certificate } from "node:crypto";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type { Enrolment, EnrolmentMode } from "../model/enrolment.ts";
import type { NodeBan, SpiffeUri } from "../model/tunnel-plan.ts";
import { type EnrolmentLabels, enrolmentOf } from "../plan/enrolment.ts";
import type { KeyState } from "./key-entry.ts";
import type { NodeIdentity } from "./node-identity.ts";
import type { PolicyCounts } from "./policy-apply.ts";

/** Times are wall time, milliseconds since 1970. */
export interface IdentityReport {
  readonly node: string;
  readonly trustDomain: string;
  /** Of pods that no label speaks for. */
  readonly meshDefault: EnrolmentMode | "none";
  readonly atMs: number;
  /** Of enrolled pods of this node, and of the node itself, sorted. */
  readonly identities: readonly KeyState[];
  /** Missing where the agent is no pod: processes of the node prove nothing. */
  readonly host?: HostIdentity;
  /** All pods of this node that are not over, sorted. */
  readonly pods: readonly PodIdentity[];
  readonly trust: readonly TrustedRoot[];
  readonly bans: readonly NodeBan[];
  /** Addresses of enrolled pods elsewhere that are reached by tunnel. */
  readonly peerCount: number;
  /** Missing unless asked for. */
  readonly peers?: readonly { readonly address: string; readonly identity: SpiffeUri }[];
  readonly dropped: PolicyCounts;
  /** A sentence each. */
  readonly problems: readonly string[];
  /** By what the keys in the node's process could be read, a phrase each. */
  readonly exposure: readonly string[];
}

/** Of processes that are in no pod's network. */
export interface HostIdentity {
  readonly identity: SpiffeUri;
  /** Why it cannot be proven at the moment. */
  readonly lacks?: string;
}

export interface PodIdentity extends Enrolment {
  /** `namespace/name` */
  readonly pod: string;
  readonly serviceAccount: string;
  /** Missing where the mode is off. */
  readonly identity?: SpiffeUri;
  readonly addresses: readonly PodPlace[];
  /** Why an enrolled pod cannot prove its identity at the moment. */
  readonly lacks?: string;
}

export interface PodPlace {
  readonly address: string;
  /** Where alone the address may appear as a sender; missing while it is not bound. */
  readonly interface?: string;
  /** The interface is a port of a bridge. */
  readonly isBridged?: true;
}

export interface TrustedRoot {
  readonly domain: string;
  /** SHA-256, as OpenSSL prints it. */
  readonly fingerprint: string;
  readonly subject: string;
  readonly notAfterMs: number;
}

export interface ReportedNode {
  readonly node: string;
  readonly trustDomain: string;
  readonly meshDefault: EnrolmentMode | "none";
  readonly atMs: number;
  /** Of the whole cluster, or of this node. */
  readonly pods: Iterable<Pod>;
  readonly labels: EnrolmentLabels;
  readonly exposure: readonly string[];
  readonly state: NodeIdentity["state"];
}

const AMBIENT: Enrolment = { mode: "off", rule: "Istio's ambient data plane has its connections" };

/** @param withPeers also lists the enrolled pods elsewhere */
export function reportIdentities(
  { state, pods, labels, ...head }: ReportedNode,
  { peers: withPeers }: { readonly peers: boolean },
): IdentityReport {
  const { keys, trust, peers, dropped, problems, kernel } = state;
  const { node, trustDomain, meshDefault, atMs, exposure } = head;
  const local = [...pods].filter(({ nodeName, isOver }) => nodeName === node && !isOver);
  return {
    node,
    trustDomain,
    meshDefault,
    atMs,
    identities: keys,
    ...hostIdentity(state),
    pods: local
      .map((pod) => podIdentity(pod, { state, labels, trustDomain }))
      .sort((a, b) => (a.pod < b.pod ? -1 : 1)),
    trust: [...trust.bundles].flatMap(([domain, roots]) => roots.map((pem) => rootOf(domain, pem))),
    bans: trust.bans,
    peerCount: peers.size,
    ...(withPeers && {
      peers: [...peers].map(([address, { identity }]) => ({ address, identity })),
    }),
    dropped,
    problems: [...problems.map(inWords), ...kernel.problems],
    exposure,
  };
}

function hostIdentity({ host, peers, keys }: NodeIdentity["state"]): Pick<IdentityReport, "host"> {
  if (host === undefined) return {};
  const { identity } = host;
  const lacks =
    peers.size === 0 ? "nobody elsewhere is enrolled to whom to prove it" : missing(identity, keys);
  return { host: { identity, ...(lacks !== undefined && { lacks }) } };
}

function podIdentity(
  pod: Pod,
  { state, labels, trustDomain }: Pick<ReportedNode, "state" | "labels" | "trustDomain">,
): PodIdentity {
  const { namespace, name, serviceAccount } = pod;
  const { mode, rule } = pod.ambientRedirection ? AMBIENT : enrolmentOf(pod, labels);
  const addresses = pod.addresses.map((address) => placeOf(address, pod, state));
  const head = { pod: `${namespace}/${name}`, serviceAccount, mode, rule, addresses };
  if (mode === "off") return head;
  const identity = formatSpiffeId({ trustDomain, namespace, serviceAccount });
  const lacks = lackOf(pod, { identity, addresses }, state);
  return { ...head, identity, ...(lacks !== undefined && { lacks }) };
}

/** Undefined when nothing stands between the pod and its identity. */
function lackOf(
  { uid }: Pod,
  { identity, addresses }: Required<Pick<PodIdentity, "identity" | "addresses">>,
  { workloads, keys, kernel }: NodeIdentity["state"],
): string | undefined {
  if (addresses.length === 0) return "it has no address yet";
  const lost = addresses
    .map(({ address }) => [address, kernel.unsupported.get(address)] as const)
    .find(([, why]) => why?.uid === uid);
  if (lost !== undefined) return `nothing proves who is at ${lost[0]}: ${lost[1]?.why}`;
  const contested = addresses.find(({ address }) => (workloads.get(address)?.uid ?? uid) !== uid);
  if (contested !== undefined) return `another pod claims ${contested.address}, too`;
  const withoutKey = missing(identity, keys);
  if (withoutKey !== undefined) return withoutKey;
  const unbound = addresses.find((place) => place.interface === undefined);
  return unbound && `no interface is known for ${unbound.address}`;
}

/** Undefined while there is a certificate. */
function missing(identity: SpiffeUri, keys: readonly KeyState[]): string | undefined {
  const key = keys.find((one) => one.identity === identity);
  if (key?.certificate !== undefined) return undefined;
  return `no certificate: ${key?.lastError ?? "the authority has not answered yet"}`;
}

function placeOf(
  address: string,
  { uid }: Pod,
  { kernel: { bindings } }: NodeIdentity["state"],
): PodPlace {
  const link = bindings.find((binding) => binding.uid === uid && binding.address === address)?.link;
  if (link === undefined) return { address };
  return { address, interface: link.name, ...(link.master !== undefined && { isBridged: true }) };
}

function rootOf(domain: string, pem: string): TrustedRoot {
  const { fingerprint256, subject, validToDate } = new X509Certificate(pem);
  return {
    domain,
    fingerprint: fingerprint256,
    subject: subject.replaceAll("\n", ", "),
    notAfterMs: validToDate.getTime(),
  };
}

function inWords({ object, field, message }: Problem): string {
  return [object, field, message].filter((part) => part !== "").join(": ");
}
