// Whether a pod proves who it is, by which rule, and how this node reaches it: `explain pod`, and a
// part of what is said of Services and addresses. Pure.

import type { Pod } from "../../lib/kube/api/pod.ts";
import { formatSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type { EnrolmentMode } from "../../netpol-identity/model/enrolment.ts";
import { enrolmentOf } from "../../netpol-identity/plan/enrolment.ts";
import { NOBODY } from "../../netpol-identity/plan/tunnel-plan.ts";
import { formatTable } from "../output.ts";
import type { EnrolledPods, Snapshot } from "../snapshot.ts";

/** What `-o json` prints. */
export interface PodReport {
  /** `namespace/name` */
  readonly pod: string;
  readonly node: string;
  readonly addresses: readonly string[];
  readonly mode: EnrolmentMode;
  /** What decided, as a sentence without its full stop. */
  readonly rule: string;
  /** Missing where the mode is off. */
  readonly identity?: string;
  /** How connections of enrolled pods of the asking node get there, in words. */
  readonly reached: string;
  /** What becomes of UDP, which no tunnel carries; missing where the mode is off. */
  readonly udp?: string;
}

type Cluster = Pick<Snapshot, "settings" | "store" | "identities">;

/** @param key `namespace/name` @returns undefined when the source has no such pod */
export function explainPod({ store, ...rest }: Cluster, key: string): PodReport | undefined {
  const pod = store.pods.values().find(({ namespace, name }) => `${namespace}/${name}` === key);
  return pod && podReport({ store, ...rest }, pod);
}

/** The pods behind a Service, sorted; empty where identities are off. */
export function podsBehind(cluster: Cluster, service: string): readonly PodReport[] {
  const { store, identities } = cluster;
  if (identities === undefined) return [];
  const slices = [...store.slicesOf(service).values()];
  const wanted = new Set(slices.flatMap(({ endpoints }) => endpoints.map((one) => one.address)));
  return store.pods
    .values()
    .filter(({ addresses }) => addresses.some((address) => wanted.has(address)))
    .map((pod) => podReport(cluster, pod))
    .toArray()
    .sort((a, b) => (a.pod < b.pod ? -1 : 1));
}

/** The pods that have an address, more than one where they dispute it. */
export function podsAt(cluster: Cluster, address: string): readonly PodReport[] {
  if (cluster.identities === undefined) return [];
  return cluster.store.pods
    .values()
    .filter(({ addresses }) => addresses.includes(address))
    .map((pod) => podReport(cluster, pod))
    .toArray();
}

export function formatPodReport(report: PodReport): string {
  const { pod, node, addresses, mode, rule, identity, reached, udp } = report;
  const facts = [
    ["addresses", addresses.join(", ") || "none of its own"],
    ["mode", `${mode} (${rule})`],
    ...(identity === undefined ? [] : [["identity", identity]]),
    ["reached", reached],
    ...(udp === undefined ? [] : [["udp", udp]]),
  ];
  const table = formatTable(facts.map((row) => ["", ...row]));
  return `Pod ${pod} of node ${node || "(none yet)"}\n${table}`;
}

/** Empty for no pods. */
export function formatPods(pods: readonly PodReport[]): string {
  if (pods.length === 0) return "";
  const rows = pods.map(({ pod, node, mode, reached, rule }) => [
    "",
    pod,
    node,
    mode,
    reached,
    rule,
  ]);
  return `\nidentities\n${formatTable([["", "POD", "NODE", "MODE", "REACHED", "RULE"], ...rows])}`;
}

function podReport({ settings, identities }: Cluster, pod: Pod): PodReport {
  const { namespace, name, nodeName, addresses, serviceAccount } = pod;
  const head = { pod: `${namespace}/${name}`, node: nodeName, addresses };
  if (identities === undefined) {
    return { ...head, mode: "off", rule: "identities are off: --identity=none", reached: PLAIN };
  }
  const { mode, rule } = enrolmentOf(pod, identities.labels);
  const reached = reachedBy(pod, mode, identities);
  if (mode === "off") return { ...head, mode, rule, reached };
  const { trustDomain } = settings.identity;
  const identity = formatSpiffeId({ trustDomain, namespace, serviceAccount });
  return { ...head, mode, rule, identity, reached, udp: UDP[mode] };
}

const PLAIN = "in plaintext";
const UDP = { permissive: "in plaintext: it proves nothing", strict: "dropped" } as const;

function reachedBy(
  { addresses }: Pod,
  mode: EnrolmentMode,
  { plan: { workloads, peers } }: EnrolledPods,
): string {
  const known = addresses.flatMap((address) => workloads.get(address) ?? peers.get(address) ?? []);
  if (known.some(({ identity }) => identity === NOBODY)) {
    return "not at all: another pod claims its address, too";
  }
  if (known.length === 0) {
    return mode === "off" ? PLAIN : `${PLAIN}: its node takes no tunnels`;
  }
  return addresses.some((address) => workloads.has(address))
    ? "on this node: both identities are checked, no tunnel is needed"
    : "by tunnel";
}
