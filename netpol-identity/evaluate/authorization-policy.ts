// GEP-3779's AuthorizationPolicy and our ServiceAccountPolicy, each as the other: what both can
// say, and by name what one cannot. What is left out of a policy that allows lets less through.

import {
  asPort,
  asRecord,
  asText,
  formatValue,
  type JsonRecord,
  makeProblemList,
} from "../../lib/kube/api/fields.ts";
import { isName, readHead } from "../../lib/kube/api/head.ts";
import { type LabelSelector, readLabelSelector } from "../../lib/kube/api/label-selector.ts";
import type { NetworkPolicyPort } from "../../lib/kube/api/network-policy.ts";
import type { Problem } from "../../lib/kube/api/parsed.ts";
import {
  type Faults,
  makeFaults,
  makePartFaults,
  readItems,
  readKnown,
} from "../../lib/kube/api/policy-fields.ts";
import type {
  ServiceAccountPeer,
  ServiceAccountPolicy,
  ServiceAccountPolicyPeer,
  ServiceAccountPolicyRule,
} from "../../lib/kube/api/service-account-policy.ts";

/** What comes of a conversion. */
export interface Conversion {
  /** An object to apply; undefined where no part of it would mean the same. */
  readonly object: JsonRecord | undefined;
  /** What it does not say, though the other one did. */
  readonly unsaid: readonly Problem[];
}

const KIND = "AuthorizationPolicy";
const API_VERSION = "gateway.networking.x-k8s.io/v1alpha1";
const MAX_ITEMS = 1_024;
const SPIFFE = /^spiffe:\/\/([a-z0-9._-]{1,255})\/ns\/([^/]+)\/sa\/([^/]+)$/;

/**
 * Reads an AuthorizationPolicy as a ServiceAccountPolicy. Never throws. It is about TCP alone, so
 * that is what the rules say. A rule without sources that we can name is left out: rules add up.
 * @see https://gateway-api.sigs.k8s.io/geps/gep-3779/
 */
export function fromAuthorizationPolicy(value: unknown): Conversion {
  const head = readHead(KIND, "namespaced", value);
  if (head.kind === "invalid") return { object: undefined, unsaid: head.problems };
  const { namespace, name, spec, problems } = head;
  const faults = makeFaults(problems);
  const podSelector = readTarget(spec["targetRefs"], faults);
  if (spec["action"] !== "ALLOW") {
    faults.reject("spec.action", `want ALLOW: got ${formatValue(spec["action"])}`);
  }
  if ((spec["enforcementLevel"] ?? "Network") !== "Network") {
    const got = formatValue(spec["enforcementLevel"]);
    faults.reject("spec.enforcementLevel", `want Network: got ${got}`);
  }
  const rules = readItems(spec["rules"], "spec.rules", MAX_ITEMS, faults);
  const ingress = rules.flatMap((rule, i) => {
    return readRule(rule, `spec.rules[${i}]`, makeFaults(problems)) ?? [];
  });
  const object = {
    apiVersion: "innermesh.io/v1alpha1",
    kind: "ServiceAccountPolicy",
    metadata: { namespace, name },
    spec: { podSelector, policyTypes: ["Ingress"], action: "Allow", ingress },
  };
  return { object: faults.any ? undefined : object, unsaid: problems.take() };
}

/**
 * Writes a ServiceAccountPolicy as an AuthorizationPolicy. It can only allow, by account or SPIFFE
 * name and TCP port, what comes in; a part of a rule that it cannot say is left out, and a rule of
 * which nothing is left, too.
 */
export function toAuthorizationPolicy(policy: ServiceAccountPolicy): Conversion {
  const { namespace, name, action, podSelector, serviceAccounts, ingress, egress } = policy;
  const problems = makeProblemList(`ServiceAccountPolicy ${namespace}/${name}`);
  const faults = makeFaults(problems);
  if (action !== "Allow") faults.reject("spec.action", `cannot say ${action}`);
  if (serviceAccounts !== undefined) {
    faults.reject("spec.serviceAccounts", "cannot select pods by ServiceAccount");
  }
  if (ingress === undefined) faults.reject("spec.policyTypes", "cannot leave Ingress out");
  if (egress !== undefined) problems.add("spec.egress", "cannot say what goes out");
  const rules = (ingress ?? []).flatMap((rule, i) => {
    return writeRule(rule, `spec.ingress[${i}]`, makeFaults(problems)) ?? [];
  });
  const object = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { namespace, name },
    spec: {
      targetRefs: [{ group: "", kind: "Pod", selector: podSelector }],
      action: "ALLOW",
      enforcementLevel: "Network",
      rules,
    },
  };
  return { object: faults.any ? undefined : object, unsaid: problems.take() };
}

function readTarget(value: unknown, faults: Faults): LabelSelector | undefined {
  const field = "spec.targetRefs";
  const [first, ...others] = readItems(value, field, MAX_ITEMS, faults);
  const { group = "", kind, selector } = asRecord(first);
  if (others.length > 0 || kind !== "Pod" || (group !== "" && group !== "core")) {
    return faults.reject(field, "want one reference, to Pods");
  }
  return readLabelSelector(selector, `${field}[0].selector`, faults);
}

/** Undefined for a rule that matches nobody. */
function readRule(value: unknown, field: string, faults: Faults): JsonRecord | undefined {
  const fields = readKnown(value, field, ["sources", "networkAttributes"], faults);
  const { sources, networkAttributes } = fields;
  const ports = readPorts(networkAttributes, `${field}.networkAttributes`, faults);
  const at = `${field}.sources`;
  const items = readItems(sources, at, MAX_ITEMS, faults);
  if (faults.any) return undefined;
  if (sources === undefined || sources === null) return { ports };
  const accounts = items.flatMap((item, i) => readSource(item, `${at}[${i}]`, faults) ?? []);
  return accounts.length === 0 ? undefined : { from: [{ serviceAccounts: accounts }], ports };
}

function readPorts(value: unknown, field: string, faults: Faults): readonly JsonRecord[] {
  const all = [{ protocol: "TCP" }];
  if (value === undefined || value === null) return all;
  const { ports } = readKnown(value, field, ["ports"], faults);
  if (ports === undefined || ports === null) return all;
  const items = readItems(ports, `${field}.ports`, MAX_ITEMS, faults);
  if (items.length === 0) faults.reject(`${field}.ports`, "want ports, or no list: got none");
  return items.map((item, i) => {
    const port = asPort(item);
    const got = formatValue(item);
    if (port === undefined) faults.reject(`${field}.ports[${i}]`, `want 1 to 65535: got ${got}`);
    return { protocol: "TCP", port };
  });
}

function readSource(value: unknown, field: string, faults: Faults): JsonRecord | undefined {
  const { type, serviceAccount, spiffe } = asRecord(value);
  if (type === "SPIFFE") {
    const [, trustDomain, namespace, name] = SPIFFE.exec(asText(spiffe)) ?? [];
    if (isName(namespace) && isName(name)) return { name, namespace, trustDomain };
    const want = "want spiffe://DOMAIN/ns/NAMESPACE/sa/NAME";
    return faults.reject(`${field}.spiffe`, `${want}: got ${formatValue(spiffe)}`);
  }
  if (type !== "ServiceAccount") {
    const want = "want ServiceAccount or SPIFFE";
    return faults.reject(`${field}.type`, `${want}: got ${formatValue(type)}`);
  }
  const at = `${field}.serviceAccount`;
  const own = makePartFaults(faults);
  const { name, namespace } = readKnown(serviceAccount, at, ["name", "namespace"], own);
  const isNamespace = namespace === undefined || namespace === null || isName(namespace);
  if ((name !== "*" && !isName(name)) || !isNamespace) own.reject(at, "want names, or * as name");
  if (own.any) return undefined;
  return { ...(name !== "*" && { name }), ...(isName(namespace) && { namespace }) };
}

function writeRule(
  { peers, ports, requests }: ServiceAccountPolicyRule,
  field: string,
  faults: Faults,
): JsonRecord | undefined {
  if (requests !== undefined) return faults.reject(field, "cannot say which requests");
  const numbers = writePorts(ports, `${field}.ports`, faults);
  const sources =
    peers === "any"
      ? undefined
      : peers.flatMap((peer, i) => writePeer(peer, `${field}.from[${i}]`, faults));
  if (numbers?.length === 0 || sources?.length === 0) return undefined;
  return {
    ...(sources !== undefined && { sources }),
    ...(numbers !== undefined && { networkAttributes: { ports: numbers } }),
  };
}

/** Undefined: all that TCP has. */
function writePorts(
  ports: readonly NetworkPolicyPort[] | "any",
  field: string,
  faults: Faults,
): readonly number[] | undefined {
  if (ports === "any") return faults.reject(field, "cannot say other protocols than TCP");
  const isAll = ports.some(({ protocol, port }) => protocol === "TCP" && port === undefined);
  const numbers = ports.flatMap(({ protocol, port, endPort }, i) => {
    if (protocol !== "TCP") faults.reject(`${field}[${i}]`, `cannot say ${protocol}`);
    else if (typeof port === "string") faults.reject(`${field}[${i}]`, "cannot say a port's name");
    else if ((endPort ?? port) !== port) faults.reject(`${field}[${i}]`, "cannot say a range");
    else if (port !== undefined) return [port];
    return [];
  });
  return isAll ? undefined : numbers;
}

function writePeer(
  peer: ServiceAccountPolicyPeer,
  field: string,
  faults: Faults,
): readonly JsonRecord[] {
  if (peer.kind === "accounts") {
    return peer.accounts.flatMap((account, i) => {
      const source = writeAccount(account, `${field}.serviceAccounts[${i}]`, faults);
      return source === undefined ? [] : [source];
    });
  }
  faults.reject(field, `cannot say ${peer.kind === "pods" ? "pods by labels" : "addresses"}`);
  return [];
}

function writeAccount(
  { name, namespaces: namespace, trustDomain, selector }: ServiceAccountPeer,
  field: string,
  faults: Faults,
): JsonRecord | undefined {
  const { matchLabels, matchExpressions } = selector;
  const isSelected = Object.keys(matchLabels).length + matchExpressions.length > 0;
  if (typeof namespace !== "string" || isSelected) {
    return faults.reject(field, "cannot say accounts by labels");
  }
  if (trustDomain === undefined) {
    return { type: "ServiceAccount", serviceAccount: { namespace, name: name ?? "*" } };
  }
  if (name === undefined) return faults.reject(field, "cannot say all accounts of a trust domain");
  return { type: "SPIFFE", spiffe: `spiffe://${trustDomain}/ns/${namespace}/sa/${name}` };
}
