// networking.k8s.io/v1 NetworkPolicy, checked at the edge. What cannot be read never opens
// anything: a rule with a fault matches nothing, and a policy whose selector has one selects its
// namespace.

import { parseCidr, splitCidr, cidrContains } from "../../ip/cidr.ts";
import { asPort, formatValue, type JsonRecord, type ProblemList } from "./fields.ts";
import { readHead } from "./head.ts";
import { EVERYTHING, type LabelSelector, readLabelSelector } from "./label-selector.ts";
import type { Parsed } from "./parsed.ts";
import {
  type Faults,
  MAX_POLICY_ITEMS,
  MAX_POLICY_RULES,
  makeFaults,
  makePartFaults,
  type PolicyIdentity,
  readItems,
  readKnown,
  readPolicyIdentity,
  readWord,
} from "./policy-fields.ts";

export interface NetworkPolicy extends PolicyIdentity {
  readonly kind: "NetworkPolicy";
  readonly namespace: string;
  readonly podSelector: LabelSelector;
  /** Undefined: it says nothing about what comes in. Empty: nothing comes in. */
  readonly ingress?: readonly NetworkPolicyRule[];
  /** The same of what goes out. */
  readonly egress?: readonly NetworkPolicyRule[];
}

export interface NetworkPolicyRule {
  /** "any" where the list is absent or empty; empty in a rule with a fault. */
  readonly peers: readonly NetworkPolicyPeer[] | "any";
  readonly ports: readonly NetworkPolicyPort[] | "any";
}

export type NetworkPolicyPeer =
  | {
      readonly kind: "pods";
      /** Undefined: the policy's own namespace. */
      readonly namespaceSelector?: LabelSelector;
      readonly podSelector: LabelSelector;
    }
  | { readonly kind: "ip-block"; readonly cidr: string; readonly except: readonly string[] };

const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
export type TransportProtocol = (typeof PROTOCOLS)[number];

export interface NetworkPolicyPort {
  readonly protocol: TransportProtocol;
  /** Undefined: all ports. A name is that of a container port of whoever is called. */
  readonly port?: number | string;
  /** The last of a range that begins with a number. */
  readonly endPort?: number;
}

/** What a policy that isolates says about both directions. */
export interface PolicyDirections<T> {
  readonly ingress?: readonly T[];
  readonly egress?: readonly T[];
}

/** Reads one rule of a direction, and tells its faults. */
export type ReadPolicyRule<T> = (value: unknown, field: string, faults: Faults) => T;

/** @see https://www.rfc-editor.org/rfc/rfc6335 section 5.1, with upper-case letters left out */
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9](?:-?[a-z0-9])*$/;
const NOTHING: NetworkPolicyRule = { peers: [], ports: [] };

/**
 * Reads a NetworkPolicy. Never throws. Rules keep their places. Where the selector has a fault all
 * rules match nothing: they add up with those of other policies, and were not meant for these pods.
 */
export function parseNetworkPolicy(value: unknown): Parsed<NetworkPolicy> {
  const head = readHead("NetworkPolicy", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, spec, problems } = head;
  const faults = makeFaults(problems);
  const podSelector = readLabelSelector(spec["podSelector"] ?? {}, "spec.podSelector", faults);
  if (podSelector === undefined) {
    const until = "until it is mended the policy selects all pods of its namespace";
    problems.add("spec.podSelector", `${until}, and its rules match nothing`);
  }
  const read = (peers: string): ReadPolicyRule<NetworkPolicyRule> => {
    return (rule, field, ruleFaults) => {
      const fields = readKnown(rule, field, [peers, "ports"], ruleFaults);
      const found = {
        peers: readPeers(fields[peers], `${field}.${peers}`, ruleFaults, readNetworkPeer),
        ports: readPolicyPorts(fields["ports"], `${field}.ports`, ruleFaults),
      };
      if (!ruleFaults.any) return found;
      problems.add(field, "until it is mended the rule matches nothing");
      return NOTHING;
    };
  };
  const object: NetworkPolicy = {
    kind: "NetworkPolicy",
    ...readPolicyIdentity(head),
    namespace,
    podSelector: podSelector ?? EVERYTHING,
    ...readDirections(spec, problems, faults, read("from"), read("to")),
  };
  return { kind: "ok", object, problems: problems.take() };
}

/**
 * The directions that a policy speaks about, and its rules in them: incoming always and outgoing
 * where it has rules for it, unless `policyTypes` says otherwise. Types that cannot be read mean
 * both, and are a fault of each rule: one might be there that was switched off.
 * @param policy the faults of the policy outside its rules
 */
export function readDirections<T>(
  spec: JsonRecord,
  problems: ProblemList,
  policy: Faults,
  readIngress: ReadPolicyRule<T>,
  readEgress: ReadPolicyRule<T>,
): PolicyDirections<T> {
  const faults = makePartFaults(policy);
  const words = ["Ingress", "Egress"] as const;
  const at = "spec.policyTypes";
  const types = readItems(spec["policyTypes"], at, words.length, faults).map((type, i) =>
    readWord(type, `${at}[${i}]`, words, faults),
  );
  const egress = spec["egress"] ?? undefined;
  const hasEgress = egress !== undefined && !(Array.isArray(egress) && egress.length === 0);
  const speaksOf = (word: (typeof words)[number], byDefault: boolean): boolean =>
    faults.any || (types.length === 0 ? byDefault : types.includes(word));
  return {
    ...(speaksOf("Ingress", true) && {
      ingress: readPolicyRules(spec["ingress"], "spec.ingress", problems, policy, readIngress),
    }),
    ...(speaksOf("Egress", hasEgress) && {
      egress: readPolicyRules(egress, "spec.egress", problems, policy, readEgress),
    }),
  };
}

/**
 * The rules of a direction, each in its place. What is no list is one rule with a fault, and so is
 * all that a list has above MAX_POLICY_RULES.
 */
function readPolicyRules<T>(
  value: unknown,
  field: string,
  problems: ProblemList,
  policy: Faults,
  read: ReadPolicyRule<T>,
): readonly T[] {
  const faults = makeFaults(problems);
  const items = readItems(value, field, Number.POSITIVE_INFINITY, faults);
  const rules = items.slice(0, MAX_POLICY_RULES).map((item, i) => {
    return read(item, `${field}[${i}]`, makeFaults(problems, policy));
  });
  if (items.length > rules.length) {
    faults.reject(field, `want at most ${MAX_POLICY_RULES} rules: got ${items.length}`);
  }
  return faults.any ? [...rules, read({}, `${field}[${rules.length}]`, faults)] : rules;
}

/** Peers of a rule; "any" where the list is absent or empty. */
export function readPeers<T>(
  value: unknown,
  field: string,
  faults: Faults,
  read: (value: unknown, field: string, faults: Faults) => T | undefined,
): readonly T[] | "any" {
  const items = readItems(value, field, MAX_POLICY_ITEMS, faults);
  if (items.length === 0) return "any";
  return items.flatMap((item, i) => read(item, `${field}[${i}]`, faults) ?? []);
}

/** One peer of a NetworkPolicy; undefined, and tells `faults`, where it has one. */
export function readNetworkPeer(
  value: unknown,
  field: string,
  faults: Faults,
): NetworkPolicyPeer | undefined {
  const fields = readKnown(value, field, ["podSelector", "namespaceSelector", "ipBlock"], faults);
  const { podSelector: pods, namespaceSelector: namespaces, ipBlock } = withoutNull(fields);
  if (ipBlock !== undefined) {
    if (pods === undefined && namespaces === undefined) {
      return readIpBlock(ipBlock, `${field}.ipBlock`, faults);
    }
    return faults.reject(field, "want ipBlock or selectors: got both");
  }
  if (pods === undefined && namespaces === undefined) {
    return faults.reject(field, "want podSelector, namespaceSelector or ipBlock: got none");
  }
  const podSelector = readLabelSelector(pods ?? {}, `${field}.podSelector`, faults);
  if (podSelector === undefined) return undefined;
  if (namespaces === undefined) return { kind: "pods", podSelector };
  const at = `${field}.namespaceSelector`;
  const namespaceSelector = readLabelSelector(namespaces, at, faults);
  return namespaceSelector && { kind: "pods", namespaceSelector, podSelector };
}

/** Ports of a rule; "any" where the list is absent or empty. */
export function readPolicyPorts(
  value: unknown,
  field: string,
  faults: Faults,
): readonly NetworkPolicyPort[] | "any" {
  const items = readItems(value, field, MAX_POLICY_ITEMS, faults);
  if (items.length === 0) return "any";
  return items.flatMap((item, i) => readPolicyPort(item, `${field}[${i}]`, faults) ?? []);
}

export function isTransportProtocol(value: unknown): value is TransportProtocol {
  return PROTOCOLS.some((protocol) => protocol === value);
}

/** True for what may name a container port. */
export function isPortName(value: unknown): value is string {
  return typeof value === "string" && PORT_NAME.test(value);
}

function readIpBlock(value: unknown, field: string, faults: Faults): NetworkPolicyPeer | undefined {
  const fields = readKnown(value, field, ["cidr", "except"], faults);
  const cidr = parseCidr(fields["cidr"]);
  if (cidr === undefined) {
    const got = formatValue(fields["cidr"]);
    return faults.reject(`${field}.cidr`, `want a prefix like 10.1.0.0/24: got ${got}`);
  }
  const at = `${field}.except`;
  const except = readItems(fields["except"], at, MAX_POLICY_ITEMS, faults).flatMap((item, i) => {
    const inner = parseCidr(item);
    if (inner !== undefined && isInside(inner, cidr)) return [inner];
    faults.reject(`${at}[${i}]`, `want a prefix inside ${cidr}: got ${formatValue(item)}`);
    return [];
  });
  return { kind: "ip-block", cidr, except };
}

function isInside(inner: string, outer: string): boolean {
  const { address, length } = splitCidr(inner);
  return length > splitCidr(outer).length && cidrContains(outer, address);
}

function readPolicyPort(
  value: unknown,
  field: string,
  faults: Faults,
): NetworkPolicyPort | undefined {
  const fields = withoutNull(readKnown(value, field, ["protocol", "port", "endPort"], faults));
  const at = `${field}.protocol`;
  const protocol = readWord(fields["protocol"] ?? "TCP", at, PROTOCOLS, faults);
  const port = fields["port"];
  const number = asPort(port);
  if (port !== undefined && number === undefined && !isPortName(port)) {
    const want = "want 1 to 65535, or a port's name";
    faults.reject(`${field}.port`, `${want}: got ${formatValue(port)}`);
  }
  const endPort = asPort(fields["endPort"]);
  if (fields["endPort"] !== undefined) {
    if (number === undefined || endPort === undefined || endPort < number) {
      const got = formatValue(fields["endPort"]);
      faults.reject(`${field}.endPort`, `want a number from port to 65535: got ${got}`);
    }
  }
  if (protocol === undefined) return undefined;
  return {
    protocol,
    ...(number !== undefined && { port: number }),
    ...(isPortName(port) && { port }),
    ...(endPort !== undefined && { endPort }),
  };
}

/** The API means the same by null and by a field that is not there. */
function withoutNull(fields: JsonRecord): JsonRecord {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
