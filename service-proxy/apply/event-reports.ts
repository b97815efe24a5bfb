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

/** An identity that somebody asked for does not hold. */
export function identityProblem(problem: {
  /** Kind and key, as in `Pod shop/web`. */
  readonly object: string;
  readonly field: string;
  readonly message: string;
}): EventReport {
  const [kind = "", key = ""] = problem.object.split(" ");
  const [name = "", namespace] = key.split("/").reverse();
  return {
    regarding: { apiVersion: "v1", kind, name, ...(namespace === undefined ? {} : { namespace }) },
    type: "Warning",
    reason: "IdentityNotProven",
    action: "Enrol",
    note: `${problem.field}: ${problem.message}`,
  };
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

/** Rules could not be written; those of before stay. */
export function syncFailed(node: ObjectReference, error: Error): EventReport {
  const note = `rules of before stay in place: ${error.message}`;
  return { regarding: node, type: "Warning", reason: "FailedToSyncRules", action: "Sync", note };
}
