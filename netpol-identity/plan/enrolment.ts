// Who is enrolled: the nearest label wins, of a Service, then of the ServiceAccount, then of the
// Namespace, then the mesh's own setting. A label that means nothing asks for the most there is: a
// typing error must not open what was closed.

import { formatValue } from "../../lib/kube/api/fields.ts";
import type { ObjectKey, Problem } from "../../lib/kube/api/parsed.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";
import { type KubeStore, keyOf } from "../../lib/kube/store.ts";
import {
  type Enrolment,
  type EnrolmentMode,
  IDENTITY_LABEL,
  MESH_NAMESPACE,
  parseEnrolmentMode,
  stricter,
} from "../model/enrolment.ts";

/** What labels say, found by what a pod knows of itself. */
export interface EnrolmentLabels {
  /** Of Services, by `namespace/address` of the pods behind them. */
  readonly services: ReadonlyMap<string, Enrolment>;
  readonly serviceAccounts: ReadonlyMap<ObjectKey, Enrolment>;
  readonly namespaces: ReadonlyMap<string, Enrolment>;
  readonly otherwise: Enrolment;
  readonly problems: readonly Problem[];
}

export type LabelSource = Pick<
  KubeStore,
  "services" | "slicesOf" | "serviceAccounts" | "namespaces"
>;

const HOST_NETWORK: Enrolment = {
  mode: "off",
  rule: "it shares its node's network, and has no identity but its node's",
};
const OVER: Enrolment = { mode: "off", rule: "it is over" };
const OF_THE_MESH: Enrolment = {
  mode: "off",
  rule: `it is in ${MESH_NAMESPACE}, which nodes reach before they can prove anything`,
};

/**
 * Whether a pod is enrolled. A Service speaks for the pods of its own namespace that its slices
 * list, ready or not; of several the strictest wins. Never throws.
 */
export function enrolmentOf(pod: Pod, labels: EnrolmentLabels): Enrolment {
  if (pod.hostNetwork) return HOST_NETWORK;
  if (pod.isOver) return OVER;
  const { namespace, serviceAccount } = pod;
  if (namespace === MESH_NAMESPACE) return OF_THE_MESH;
  return (
    byService(pod, labels) ??
    labels.serviceAccounts.get(`${namespace}/${serviceAccount}`) ??
    labels.namespaces.get(namespace) ??
    labels.otherwise
  );
}

/** @param meshDefault of pods that no label speaks for */
export function readEnrolmentLabels(
  source: LabelSource,
  meshDefault: EnrolmentMode,
): EnrolmentLabels {
  const problems: Problem[] = [];
  return {
    services: readServices(source, problems),
    serviceAccounts: readLabelled(source.serviceAccounts.values(), problems),
    namespaces: readLabelled(source.namespaces.values(), problems),
    otherwise: { mode: meshDefault, rule: `the mesh's default is ${meshDefault}` },
    problems,
  };
}

function byService({ namespace, addresses }: Pod, { services }: EnrolmentLabels) {
  if (services.size === 0) return undefined;
  return addresses
    .flatMap((address) => services.get(`${namespace}/${address}`) ?? [])
    .reduce<Enrolment | undefined>((a, b) => (a === undefined ? b : stricter(a, b)), undefined);
}

type Labelled = Parameters<typeof keyOf>[0] & { readonly labels: Readonly<Record<string, string>> };

function readLabelled(
  objects: Iterable<Labelled>,
  problems: Problem[],
): ReadonlyMap<string, Enrolment> {
  const readings = new Map<string, Enrolment>();
  for (const object of objects) {
    const reading = readLabel(object, problems);
    if (reading !== undefined) readings.set(keyOf(object), reading);
  }
  return readings;
}

function readServices(source: LabelSource, problems: Problem[]): ReadonlyMap<string, Enrolment> {
  const readings = new Map<string, Enrolment>();
  for (const [key, reading] of readLabelled(source.services.values(), problems)) {
    const namespace = key.slice(0, key.indexOf("/"));
    for (const { endpoints } of source.slicesOf(key).values()) {
      for (const { address } of endpoints) {
        // A slice may list any address; it never speaks for pods of another namespace.
        const place = `${namespace}/${address}`;
        readings.set(place, stricter(readings.get(place) ?? reading, reading));
      }
    }
  }
  return readings;
}

function readLabel(object: Labelled, problems: Problem[]): Enrolment | undefined {
  const value = object.labels[IDENTITY_LABEL];
  if (value === undefined) return undefined;
  const subject = `${object.kind} ${keyOf(object)}`;
  const mode = parseEnrolmentMode(value);
  if (mode !== undefined) return { mode, rule: `label ${IDENTITY_LABEL}=${mode} of ${subject}` };
  const got = formatValue(value);
  problems.push({
    object: subject,
    field: `metadata.labels[${IDENTITY_LABEL}]`,
    message: `want off, permissive or strict: got ${got}, which is taken for strict`,
  });
  const rule = `label ${IDENTITY_LABEL} of ${subject} is ${got}, which is taken for strict`;
  return { mode: "strict", rule };
}
