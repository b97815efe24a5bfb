// Queries about pods and namespaces: how they are spelt, and what they select.

import type { Labels } from "../../lib/kube/api/intern.ts";
import {
  EVERYTHING,
  formatLabelSelector,
  matchesLabels,
} from "../../lib/kube/api/label-selector.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import type { NamespaceQuery, PodQuery } from "../model/policy.ts";

export const EVERY_NAMESPACE: NamespaceQuery = { kind: "labelled", selector: EVERYTHING };
export const EVERY_POD: PodQuery = { namespaces: EVERY_NAMESPACE, labels: EVERYTHING };

/** All pods of one. */
export function inNamespace(name: string): PodQuery {
  return { namespaces: { kind: "named", name }, labels: EVERYTHING };
}

/** The label that every Namespace has; files may leave it out. */
const NAME_LABEL = "kubernetes.io/metadata.name";

/** By name. */
export type NamespaceLabels = ReadonlyMap<string, { readonly labels: Labels }>;

/** Equal for queries that select the same for the same reason. */
export function podQueryKey({ namespaces, labels, serviceAccounts }: PodQuery): string {
  const accounts = serviceAccounts === undefined ? null : [...new Set(serviceAccounts)].sort();
  return JSON.stringify([namespaceQueryKey(namespaces), formatLabelSelector(labels), accounts]);
}

export function namespaceQueryKey(query: NamespaceQuery): string {
  return query.kind === "named" ? `=${query.name}` : `~${formatLabelSelector(query.selector)}`;
}

/** @param labels of the Namespace, undefined: not known, so that it has its name alone */
export function selectsNamespace(
  query: NamespaceQuery,
  name: string,
  labels: Labels | undefined,
): boolean {
  if (query.kind === "named") return query.name === name;
  return matchesLabels(query.selector, { ...labels, [NAME_LABEL]: name });
}

/** Whether the parts of a query that are about the pod itself hold. */
export function selectsInNamespace(
  { labels, serviceAccounts }: PodQuery,
  pod: Pick<Pod, "labels" | "serviceAccount">,
): boolean {
  if (serviceAccounts !== undefined && !serviceAccounts.includes(pod.serviceAccount)) return false;
  return matchesLabels(labels, pod.labels);
}
