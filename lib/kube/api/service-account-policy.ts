// innermesh.io/v1alpha1 ServiceAccountPolicy: NetworkPolicy's shape, whose peers may be
// ServiceAccounts, proved by certificates, and whose rules may be about HTTP requests. What cannot
// be read never opens anything: in a rule that allows it matches nobody, in one that denies
// everybody.

import { asRecord, asText, formatValue, type JsonRecord } from "./fields.ts";
import { isName, readHead } from "./head.ts";
import { EVERYTHING, type LabelSelector, readLabelSelector } from "./label-selector.ts";
import {
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  type ReadPolicyRule,
  readDirections,
  readNetworkPeer,
  readPeers,
  readPolicyPorts,
} from "./network-policy.ts";
import type { Parsed } from "./parsed.ts";
import {
  type Faults,
  MAX_POLICY_ITEMS,
  makeFaults,
  makePartFaults,
  type PolicyIdentity,
  readKnown,
  readNames,
  readPolicyIdentity,
  readRuleName,
  readSomeItems,
  readWord,
} from "./policy-fields.ts";
import { type HttpRequestMatch, readGrpcMatches, readHttpMatches } from "./request-match.ts";

export interface ServiceAccountPolicy extends PolicyIdentity {
  readonly kind: "ServiceAccountPolicy";
  readonly namespace: string;
  readonly action: ServiceAccountPolicyAction;
  /** Pods for which both hold. */
  readonly podSelector: LabelSelector;
  /** Names; undefined: any. */
  readonly serviceAccounts?: readonly string[];
  /** Undefined: it says nothing about what comes in. Empty: nothing matches. */
  readonly ingress?: readonly ServiceAccountPolicyRule[];
  readonly egress?: readonly ServiceAccountPolicyRule[];
}

const ACTIONS = ["Allow", "Deny", "Audit"] as const;
export type ServiceAccountPolicyAction = (typeof ACTIONS)[number];

export interface ServiceAccountPolicyRule {
  /** "" when it has none. */
  readonly name: string;
  readonly peers: readonly ServiceAccountPolicyPeer[] | "any";
  readonly ports: readonly NetworkPolicyPort[] | "any";
  /** One of them must hold; only in rules about what comes in, with TCP ports. */
  readonly requests?: readonly HttpRequestMatch[];
}

export type ServiceAccountPolicyPeer =
  | NetworkPolicyPeer
  | { readonly kind: "accounts"; readonly accounts: readonly ServiceAccountPeer[] };

/** ServiceAccounts for which every part holds. */
export interface ServiceAccountPeer {
  /** Undefined: any. */
  readonly name?: string;
  /** A name, or labels of namespaces. Where nothing was said: the policy's own. */
  readonly namespaces: string | LabelSelector;
  /** Undefined: the mesh's own. Of others only names are known. */
  readonly trustDomain?: string;
  /** Of the ServiceAccount. */
  readonly selector: LabelSelector;
}

const SUBJECT = ["podSelector", "serviceAccounts"];
const SPEC = [...SUBJECT, "policyTypes", "action", "ingress", "egress"];
const ACCOUNT = ["name", "namespace", "namespaceSelector", "trustDomain", "selector"];
/** @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md section 2.1 */
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/**
 * Reads a ServiceAccountPolicy. Never throws. Rules keep their places. Without a readable subject
 * it is about all pods of its namespace; then, or without a readable action, all its rules are
 * faulty.
 */
export function parseServiceAccountPolicy(value: unknown): Parsed<ServiceAccountPolicy> {
  const head = readHead("ServiceAccountPolicy", "namespaced", value);
  if (head.kind === "invalid") return head;
  const { namespace, spec, problems } = head;
  const faults = makeFaults(problems);
  readKnown(spec, "spec", SPEC, faults);
  const subject = readSubject(spec, faults);
  // An Allow with nothing in it denies, whatever was meant.
  const action = readWord(spec["action"] ?? "Allow", "spec.action", ACTIONS, faults) ?? "Allow";
  const read = (direction: Direction): ReadPolicyRule<ServiceAccountPolicyRule> => {
    return (rule, field, ruleFaults) => {
      const found = readRule(rule, field, direction, namespace, ruleFaults);
      if (!ruleFaults.any) return found;
      const matches = action === "Deny" ? "denies everything" : "matches nothing";
      problems.add(field, `until it is mended the rule ${matches}`);
      const all = action === "Deny" ? "any" : [];
      return { name: found.name, peers: all, ports: all };
    };
  };
  const object: ServiceAccountPolicy = {
    kind: "ServiceAccountPolicy",
    ...readPolicyIdentity(head),
    namespace,
    action,
    ...(subject ?? { podSelector: EVERYTHING }),
    ...readDirections(spec, problems, faults, read("ingress"), read("egress")),
  };
  return { kind: "ok", object, problems: problems.take() };
}

type Direction = "ingress" | "egress";

function readSubject(
  spec: JsonRecord,
  faults: Faults,
): Pick<ServiceAccountPolicy, "podSelector" | "serviceAccounts"> | undefined {
  const own = makePartFaults(faults);
  const [pods, accounts] = SUBJECT.map((name) => spec[name] ?? undefined);
  if (pods === undefined && accounts === undefined) {
    own.reject("spec", `want ${SUBJECT.join(" or ")}: got none`);
  }
  const podSelector = readLabelSelector(pods ?? {}, "spec.podSelector", own);
  const at = "spec.serviceAccounts";
  const items = readSomeItems(accounts, at, MAX_POLICY_ITEMS, own);
  const serviceAccounts = items && readNames(items, at, own);
  if (own.any || podSelector === undefined) {
    return own.reject("spec", "until it is mended the policy selects all pods of its namespace");
  }
  return { podSelector, ...(serviceAccounts !== undefined && { serviceAccounts }) };
}

function readRule(
  value: unknown,
  field: string,
  direction: Direction,
  namespace: string,
  faults: Faults,
): ServiceAccountPolicyRule {
  const peersOf = direction === "ingress" ? "from" : "to";
  const more = direction === "ingress" ? ["http", "grpc"] : [];
  const fields = readKnown(value, field, ["name", peersOf, "ports", ...more], faults);
  const peers = readPeers(fields[peersOf], `${field}.${peersOf}`, faults, (peer, at, own) => {
    return readPeer(peer, at, namespace, own);
  });
  const ports = readPolicyPorts(fields["ports"], `${field}.ports`, faults);
  const name = readRuleName(fields["name"]);
  const http = readHttpMatches(fields["http"], `${field}.http`, faults);
  const grpc = readGrpcMatches(fields["grpc"], `${field}.grpc`, faults);
  if (http === undefined && grpc === undefined) return { name, peers, ports };
  if (ports !== "any" && ports.some(({ protocol }) => protocol !== "TCP")) {
    faults.reject(`${field}.ports`, "want TCP ports alone beside http and grpc");
  }
  return { name, peers, ports, requests: [...(http ?? []), ...(grpc ?? [])] };
}

function readPeer(
  value: unknown,
  field: string,
  namespace: string,
  faults: Faults,
): ServiceAccountPolicyPeer | undefined {
  const accounts = asRecord(value)["serviceAccounts"] ?? undefined;
  if (accounts === undefined) {
    return readNetworkPeer(value, field, faults);
  }
  readKnown(value, field, ["serviceAccounts"], faults);
  const at = `${field}.serviceAccounts`;
  const items = readSomeItems(accounts, at, MAX_POLICY_ITEMS, faults) ?? [];
  return {
    kind: "accounts",
    accounts: items.flatMap((item, i) => readAccount(item, `${at}[${i}]`, namespace, faults) ?? []),
  };
}

function readAccount(
  value: unknown,
  field: string,
  namespace: string,
  faults: Faults,
): ServiceAccountPeer | undefined {
  const fields = readKnown(value, field, ACCOUNT, faults);
  const name = readName(fields["name"], `${field}.name`, faults);
  const named = readName(fields["namespace"], `${field}.namespace`, faults);
  const trustDomain = fields["trustDomain"] ?? undefined;
  if (trustDomain !== undefined && !TRUST_DOMAIN.test(asText(trustDomain))) {
    const got = formatValue(trustDomain);
    faults.reject(`${field}.trustDomain`, `want a name like mesh.example: got ${got}`);
  }
  const [byLabels, labels] = [fields["namespaceSelector"] ?? undefined, fields["selector"] ?? {}];
  if (byLabels !== undefined && named !== undefined) {
    faults.reject(field, "want namespace or namespaceSelector: got both");
  }
  if (trustDomain !== undefined && (byLabels !== undefined || "selector" in fields)) {
    faults.reject(field, "want name and namespace beside trustDomain: labels are not known there");
  }
  const namespaces =
    byLabels === undefined
      ? (named ?? namespace)
      : readLabelSelector(byLabels, `${field}.namespaceSelector`, faults);
  const selector = readLabelSelector(labels, `${field}.selector`, faults);
  if (namespaces === undefined || selector === undefined) return undefined;
  return {
    ...(name !== undefined && { name }),
    namespaces,
    ...(trustDomain !== undefined && { trustDomain: asText(trustDomain) }),
    selector,
  };
}

function readName(value: unknown, field: string, faults: Faults): string | undefined {
  if (value === undefined || value === null) return undefined;
  return isName(value) ? value : faults.reject(field, `want a name: got ${formatValue(value)}`);
}
