// policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy (network-policy-api 0.2.0, both channels),
// checked at the edge. As its API asks: of what cannot be read, Accept matches nobody, and Deny and
// Pass deny everything.

import { parseCidr } from "../../ip/cidr.ts";
import { asPort, asText, formatValue, type JsonRecord } from "./fields.ts";
import { readHead } from "./head.ts";
import { EVERYTHING, type LabelSelector, readLabelSelector } from "./label-selector.ts";
import { isPortName, type TransportProtocol } from "./network-policy.ts";
import type { Parsed } from "./parsed.ts";
import {
  type Faults,
  makeFaults,
  type PolicyIdentity,
  readItems,
  readKnown,
  readPolicyIdentity,
  readRuleName,
  readSomeItems,
  readWord,
} from "./policy-fields.ts";

export interface ClusterNetworkPolicy extends PolicyIdentity {
  readonly kind: "ClusterNetworkPolicy";
  readonly tier: "Admin" | "Baseline";
  /** 0 to 1000, lower first. */
  readonly priority: number;
  readonly subject: NamespacedPods;
  /** Empty: it says nothing about what comes in. */
  readonly ingress: readonly ClusterNetworkPolicyRule[];
  readonly egress: readonly ClusterNetworkPolicyRule[];
}

export interface NamespacedPods {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
}

export interface ClusterNetworkPolicyRule {
  /** "" when it has none. */
  readonly name: string;
  readonly action: ClusterNetworkPolicyAction;
  /** "any" in rules that deny for a fault; empty in those that accept. */
  readonly peers: readonly ClusterNetworkPolicyPeer[] | "any";
  readonly ports: readonly ClusterNetworkPolicyPort[] | "any";
}

const ACTIONS = ["Accept", "Deny", "Pass"] as const;
export type ClusterNetworkPolicyAction = (typeof ACTIONS)[number];

export type ClusterNetworkPolicyPeer =
  | ({ readonly kind: "pods" } & NamespacedPods)
  | { readonly kind: "networks"; readonly cidrs: readonly string[] }
  | { readonly kind: "nodes"; readonly labels: LabelSelector }
  /** Lower-case, without a dot at the end, without wildcards. */
  | { readonly kind: "domains"; readonly names: readonly string[] };

export type ClusterNetworkPolicyPort =
  | {
      readonly kind: "range";
      readonly protocol: TransportProtocol;
      readonly first: number;
      /** Inclusive. */
      readonly last: number;
    }
  | { readonly kind: "named"; readonly name: string };

const MAX_ITEMS = 25;
const MAX_PRIORITY = 1_000;
const INGRESS_PEERS = ["namespaces", "pods"];
const EGRESS_PEERS = [...INGRESS_PEERS, "nodes", "networks", "domainNames"];
const LABEL = "[a-z0-9](?:[-a-z0-9_]{0,61}[a-z0-9])?";
const DOMAIN = new RegExp(`^(?=.{1,253}$)${LABEL}(?:\\.${LABEL})+$`);
const PROTOCOLS = { tcp: "TCP", udp: "UDP", sctp: "SCTP" } as const;

/**
 * Reads a ClusterNetworkPolicy. Never throws. Rules keep their places. Without a readable tier,
 * priority or subject it counts as the first of tier Admin, and all its rules are faulty; without
 * a readable subject it is about all pods.
 */
export function parseClusterNetworkPolicy(value: unknown): Parsed<ClusterNetworkPolicy> {
  const head = readHead("ClusterNetworkPolicy", "cluster", value);
  if (head.kind === "invalid") return head;
  const { spec, problems } = head;
  const faults = makeFaults(problems);
  const tier = readWord(spec["tier"], "spec.tier", ["Admin", "Baseline"] as const, faults);
  const subject = readSubject(spec["subject"], "spec.subject", faults);
  const priority = spec["priority"];
  const isPriority = Number.isInteger(priority) && Number(priority) >= 0;
  if (!isPriority || Number(priority) > MAX_PRIORITY) {
    faults.reject("spec.priority", `want 0 to ${MAX_PRIORITY}: got ${formatValue(priority)}`);
  }
  const readRules = (list: string, peers: string): readonly ClusterNetworkPolicyRule[] => {
    const listFaults = makeFaults(problems);
    const items = readItems(spec[list], `spec.${list}`, MAX_ITEMS, listFaults);
    // Which rules it has is not known: one might deny.
    if (listFaults.any) return [closed("", "Deny")];
    return items.map((item, i) => {
      const field = `spec.${list}[${i}]`;
      const ruleFaults = makeFaults(problems, faults);
      const rule = readRule(item, field, peers, ruleFaults);
      if (!ruleFaults.any) return rule;
      const shut = closed(rule.name, rule.action);
      const what = shut.action === "Accept" ? "matches nobody" : "denies everything";
      problems.add(field, `until it is mended the rule ${what}`);
      return shut;
    });
  };
  const object: ClusterNetworkPolicy = {
    kind: "ClusterNetworkPolicy",
    ...readPolicyIdentity(head),
    tier: faults.any ? "Admin" : (tier ?? "Admin"),
    priority: faults.any ? 0 : Number(priority),
    subject: subject ?? { namespaceSelector: EVERYTHING, podSelector: EVERYTHING },
    ingress: readRules("ingress", "from"),
    egress: readRules("egress", "to"),
  };
  return { kind: "ok", object, problems: problems.take() };
}

/** What a rule with a fault stands for. */
function closed(name: string, action: ClusterNetworkPolicyAction): ClusterNetworkPolicyRule {
  if (action === "Accept") return { name, action, peers: [], ports: [] };
  return { name, action: "Deny", peers: "any", ports: "any" };
}

function readSubject(value: unknown, field: string, faults: Faults): NamespacedPods | undefined {
  const fields = readKnown(value, field, INGRESS_PEERS, faults);
  const peer = readOne(fields, INGRESS_PEERS, field, faults);
  return peer === undefined ? undefined : readPods(peer, fields[peer], `${field}.${peer}`, faults);
}

function readRule(
  value: unknown,
  field: string,
  peers: string,
  faults: Faults,
): ClusterNetworkPolicyRule {
  const fields = readKnown(value, field, ["name", "action", peers, "protocols"], faults);
  const action = readWord(fields["action"], `${field}.action`, ACTIONS, faults) ?? "Deny";
  const at = `${field}.${peers}`;
  const items = readSomeItems(fields[peers], at, MAX_ITEMS, faults);
  if (items === undefined) faults.reject(at, "want at least one item: got none");
  const names = peers === "from" ? INGRESS_PEERS : EGRESS_PEERS;
  const found = (items ?? []).flatMap((item, i) => {
    return readPeer(item, `${at}[${i}]`, names, faults) ?? [];
  });
  if (action !== "Accept" && found.some(({ kind }) => kind === "domains")) {
    faults.reject(at, `want domainNames in rules that accept: got ${action}`);
  }
  const protocolsAt = `${field}.protocols`;
  const protocols = readSomeItems(fields["protocols"], protocolsAt, MAX_ITEMS, faults);
  const ports = protocols?.flatMap((item, i) => {
    return readProtocol(item, `${protocolsAt}[${i}]`, faults) ?? [];
  });
  const isNamed = ports?.some(({ kind }) => kind === "named") ?? false;
  if (isNamed && found.some(({ kind }) => kind !== "pods")) {
    faults.reject(protocolsAt, "want port names beside pods and namespaces alone: got other peers");
  }
  const name = readRuleName(fields["name"]);
  return { name, action, peers: found, ports: ports ?? "any" };
}

function readPeer(
  value: unknown,
  field: string,
  names: readonly string[],
  faults: Faults,
): ClusterNetworkPolicyPeer | undefined {
  const fields = readKnown(value, field, names, faults);
  const name = readOne(fields, names, field, faults);
  if (name === undefined) return undefined;
  const at = `${field}.${name}`;
  const inner = fields[name];
  switch (name) {
    case "nodes": {
      const labels = readLabelSelector(inner, at, faults);
      return labels && { kind: "nodes", labels };
    }
    case "networks":
      return { kind: "networks", cidrs: readNetworks(inner, at, faults) };
    case "domainNames":
      return { kind: "domains", names: readDomains(inner, at, faults) };
    default: {
      const pods = readPods(name, inner, at, faults);
      return pods && { kind: "pods", ...pods };
    }
  }
}

function readPods(
  name: string,
  value: unknown,
  field: string,
  faults: Faults,
): NamespacedPods | undefined {
  if (name === "namespaces") {
    const namespaceSelector = readLabelSelector(value, field, faults);
    return namespaceSelector && { namespaceSelector, podSelector: EVERYTHING };
  }
  const fields = readKnown(value, field, ["namespaceSelector", "podSelector"], faults);
  const [namespaceSelector, podSelector] = [
    readLabelSelector(fields["namespaceSelector"] ?? {}, `${field}.namespaceSelector`, faults),
    readLabelSelector(fields["podSelector"], `${field}.podSelector`, faults),
  ];
  if (namespaceSelector === undefined || podSelector === undefined) return undefined;
  return { namespaceSelector, podSelector };
}

function readNetworks(value: unknown, field: string, faults: Faults): readonly string[] {
  return (readSomeItems(value, field, MAX_ITEMS, faults) ?? []).flatMap((item, i) => {
    const cidr = parseCidr(item);
    if (cidr !== undefined) return [cidr];
    faults.reject(`${field}[${i}]`, `want a prefix like 10.1.0.0/24: got ${formatValue(item)}`);
    return [];
  });
}

function readDomains(value: unknown, field: string, faults: Faults): readonly string[] {
  return (readSomeItems(value, field, MAX_ITEMS, faults) ?? []).flatMap((item, i) => {
    const name = asText(item).toLowerCase().replace(/\.$/, "");
    if (DOMAIN.test(name)) return [name];
    const want = name.startsWith("*.")
      ? "a name that can be asked for, without wildcard"
      : "a name like example.com";
    faults.reject(`${field}[${i}]`, `want ${want}: got ${formatValue(item)}`);
    return [];
  });
}

function readProtocol(
  value: unknown,
  field: string,
  faults: Faults,
): ClusterNetworkPolicyPort | undefined {
  const names = [...Object.keys(PROTOCOLS), "destinationNamedPort"];
  const fields = readKnown(value, field, names, faults);
  const name = readOne(fields, names, field, faults);
  if (name === undefined) return undefined;
  const at = `${field}.${name}`;
  const inner = fields[name];
  if (name !== "tcp" && name !== "udp" && name !== "sctp") {
    if (isPortName(inner)) return { kind: "named", name: inner };
    return faults.reject(at, `want a port's name: got ${formatValue(inner)}`);
  }
  const port = readKnown(inner, at, ["destinationPort"], faults)["destinationPort"];
  const range = readPort(port, `${at}.destinationPort`, faults);
  return range && { kind: "range", protocol: PROTOCOLS[name], ...range };
}

function readPort(
  value: unknown,
  field: string,
  faults: Faults,
): { readonly first: number; readonly last: number } | undefined {
  const fields = readKnown(value, field, ["number", "range"], faults);
  const name = readOne(fields, ["number", "range"], field, faults);
  if (name === undefined) return undefined;
  if (name === "number") {
    const port = asPort(fields["number"]);
    if (port !== undefined) return { first: port, last: port };
    return faults.reject(
      `${field}.number`,
      `want 1 to 65535: got ${formatValue(fields["number"])}`,
    );
  }
  const range = readKnown(fields["range"], `${field}.range`, ["start", "end"], faults);
  const [first, last] = [asPort(range["start"]), asPort(range["end"])];
  if (first !== undefined && last !== undefined && first < last) return { first, last };
  return faults.reject(`${field}.range`, "want start below end, both 1 to 65535");
}

/** The one field that is there; a fault where it is none or several. */
function readOne(
  fields: JsonRecord,
  names: readonly string[],
  field: string,
  faults: Faults,
): string | undefined {
  const there = names.filter((name) => (fields[name] ?? undefined) !== undefined);
  if (there.length === 1) return there[0];
  return faults.reject(field, `want one of ${names.join(", ")}: got ${there.length}`);
}
