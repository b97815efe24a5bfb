// The events this node has to tell, with kube-proxy's reasons where it has one.

import type { EventReport, ObjectReference } from "./events.ts";

interface Named {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
}

/** @param uid of the Node object; missing while it is not known */
export function nodeReference(name: string, uid?: string): ObjectReference {
  return { apiVersion: "v1", kind: "Node", name, ...(uid === undefined ? {} : { uid }) };
}

export function serviceReference({ namespace, name, uid }: Named): ObjectReference {
  const identity = uid === undefined ? {} : { uid };
  return { apiVersion: "v1", kind: "Service", namespace, name, ...identity };
}

/** The node starts to serve. */
export function starting(node: ObjectReference): EventReport {
  const note = "innermesh node serves Services on this node";
  return { regarding: node, type: "Normal", reason: "Starting", action: "StartKubeProxy", note };
}

/** Port 10256 or 10249 cannot be had. */
export function serverFailed(
  node: ObjectReference,
  server: "health" | "metrics",
  error: Error,
): EventReport {
  const reason =
    server === "health" ? "FailedToStartProxierHealthcheck" : "FailedToStartMetricServer";
  const note = error.message;
  return { regarding: node, type: "Warning", reason, action: "StartKubeProxy", note };
}

/** A Service's health check port cannot be had on this node. */
export function serviceHealthFailed(
  service: ObjectReference,
  nodeName: string,
  message: string,
): EventReport {
  return {
    regarding: service,
    type: "Warning",
    reason: "FailedToStartServiceHealthcheck",
    action: "Listen",
    note: `node ${nodeName}: ${message}`,
  };
}

/** Something in a Service cannot be used, such as an address that belongs to someone else. */
export function serviceProblem(
  service: ObjectReference,
  problem: { readonly field: string; readonly message: string },
): EventReport {
  return {
    regarding: service,
    type: "Warning",
    reason: "ServiceNotProgrammed",
    action: "Plan",
    note: `${problem.field}: ${problem.message}`,
  };
}

/** Something wrong with an object that nodes know. */
interface ObjectProblem {
  /** Kind and key, as in `Pod shop/web`. */
  readonly object: string;
  readonly field: string;
  readonly message: string;
}

/** An identity that somebody asked for does not hold. */
export function identityProblem(problem: ObjectProblem): EventReport {
  return {
    regarding: referenceOf(problem.object, "v1"),
    type: "Warning",
    reason: "IdentityNotProven",
    action: "Enrol",
    note: `${problem.field}: ${problem.message}`,
  };
}

/** A part of a policy cannot be read: it opens nothing, and may close more than was meant. */
export function policyProblem(problem: ObjectProblem): EventReport {
  const [kind = ""] = problem.object.split(" ");
  return {
    regarding: referenceOf(problem.object, POLICY_VERSIONS[kind] ?? "v1"),
    type: "Warning",
    reason: "PolicyInvalid",
    action: "Enforce",
    note: `${problem.field}: ${problem.message}`,
  };
}

const POLICY_VERSIONS: Readonly<Record<string, string>> = {
  NetworkPolicy: "networking.k8s.io/v1",
  ClusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2",
  ServiceAccountPolicy: "innermesh.io/v1alpha1",
  MeshPolicy: "innermesh.io/v1alpha1",
};

/** @param object kind and key */
function referenceOf(object: string, apiVersion: string): ObjectReference {
  const [kind = "", key = ""] = object.split(" ");
  const [name = "", namespace] = key.split("/").reverse();
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) };
}

/** Nobody signs for a ServiceAccount that has a pod here, or nobody did in time. */
export function certificateMissing(
  account: { readonly namespace: string; readonly serviceAccount: string },
  nodeName: string,
  message: string,
): EventReport {
  const { namespace, serviceAccount: name } = account;
  return {
    regarding: { apiVersion: "v1", kind: "ServiceAccount", namespace, name },
    type: "Warning",
    reason: "CertificateMissing",
    action: "Sign",
    note: `node ${nodeName}: ${message}`,
  };
}

/** Policies keep somebody from a pod, or the pod from somebody. */
export function connectionDenied(pod: Named, nodeName: string, message: string): EventReport {
  const { namespace, name, uid } = pod;
  return {
    regarding: {
      apiVersion: "v1",
      kind: "Pod",
      namespace,
      name,
      ...(uid !== undefined && { uid }),
    },
    type: "Warning",
    reason: "ConnectionDenied",
    action: "Judge",
    note: `node ${nodeName}: ${message}`,
  };
}

/** An attack of the node's canary on a pod here got through, or was not seen to be stopped. */
export function enforcementBroken(
  nodeName: string,
  attack: { readonly kind: string; readonly source: string; readonly destination: string },
): EventReport {
  const { kind, source, destination } = attack;
  return {
    regarding: nodeReference(nodeName),
    type: "Warning",
    reason: "EnforcementBroken",
    action: "Prove",
    note: `attack ${kind} from ${source} on pod ${destination} was not stopped`,
  };
}

/** Rules could not be written; those of before stay. */
export function syncFailed(node: ObjectReference, error: Error): EventReport {
  const note = `rules of before stay in place: ${error.message}`;
  return { regarding: node, type: "Warning", reason: "FailedToSyncRules", action: "Sync", note };
}
