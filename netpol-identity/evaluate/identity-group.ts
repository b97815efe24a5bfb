// Groups of identities: their members are URIs, some with an open part, and which of those stand
// for a given identity.

import type { Labels } from "../../lib/kube/api/intern.ts";
import { formatLabelSelector, matchesLabels } from "../../lib/kube/api/label-selector.ts";
import type { ServiceAccount } from "../../lib/kube/api/service-account.ts";
import { formatSpiffeId, parseSpiffeId } from "../../lib/x509/spiffe-id.ts";
import type { IdentityQuery } from "../model/policy.ts";
import { namespaceQueryKey, selectsNamespace } from "./pod-query.ts";

/** What decides who is in such a group. */
export interface IdentitySource {
  /** This cluster's own. */
  readonly trustDomain: string;
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, { readonly labels: Labels }>;
  /** By namespace. */
  readonly serviceAccounts: ReadonlyMap<string, readonly ServiceAccount[]>;
}

/** Stands for every namespace, or every name. No identity has it for a part. */
const ANY = "*";
const NOBODY: ReadonlySet<string> = new Set();

/** The members of groups that stand for an identity; none for a URI that names no workload. */
export function membersFor(uri: string): readonly string[] {
  const identity = parseSpiffeId(uri);
  if (identity === undefined) return [];
  return [
    uri,
    formatSpiffeId({ ...identity, namespace: ANY }),
    formatSpiffeId({ ...identity, serviceAccount: ANY }),
    formatSpiffeId({ ...identity, namespace: ANY, serviceAccount: ANY }),
  ];
}

export function identityQueryKey({ trustDomain, namespaces, name, labels }: IdentityQuery): string {
  const parts = [trustDomain, namespaceQueryKey(namespaces), name, formatLabelSelector(labels)];
  return JSON.stringify(parts.map((part) => part ?? null));
}

/**
 * The members of a group. Of another trust domain only names are known, so nobody there has labels;
 * of this one, identities that only names choose need no ServiceAccount to be known.
 */
export function identityMembers(
  { trustDomain, namespaces, name, labels }: IdentityQuery,
  source: IdentitySource,
): ReadonlySet<string> {
  const domain = trustDomain ?? source.trustDomain;
  const isByName = formatLabelSelector(labels) === "";
  const idOf = (namespace: string, serviceAccount: string): string =>
    formatSpiffeId({ trustDomain: domain, namespace, serviceAccount });
  if (namespaces.kind === "named" && isByName) {
    return new Set([idOf(namespaces.name, name ?? ANY)]);
  }
  if (namespaceQueryKey(namespaces) === EVERY_KEY && isByName) {
    return new Set([idOf(ANY, name ?? ANY)]);
  }
  if (domain !== source.trustDomain) return NOBODY;
  const members = new Set<string>();
  for (const namespace of new Set([
    ...source.namespaces.keys(),
    ...source.serviceAccounts.keys(),
  ])) {
    const known = source.namespaces.get(namespace)?.labels;
    if (!selectsNamespace(namespaces, namespace, known)) continue;
    if (isByName) members.add(idOf(namespace, name ?? ANY));
    else {
      for (const account of source.serviceAccounts.get(namespace) ?? []) {
        if (name !== undefined && account.name !== name) continue;
        if (matchesLabels(labels, account.labels)) members.add(idOf(namespace, account.name));
      }
    }
  }
  return members;
}

const EVERY_KEY = namespaceQueryKey({
  kind: "labelled",
  selector: { matchLabels: {}, matchExpressions: [] },
});
