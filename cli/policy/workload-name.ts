// The name of what made a pod, guessed from the labels that controllers give: for people, who think
// of a Deployment and not of its fifty pods.

import type { EdgePod } from "../../netpol-identity/model/edge-report.ts";

/** `namespace/name`; the pod's own name where no label tells of a controller. */
export function workloadOf({ namespace, name, labels }: Omit<EdgePod, "ports">): string {
  return `${namespace}/${guess(name, labels)}`;
}

function guess(name: string, labels: EdgePod["labels"]): string {
  const hash = labels["pod-template-hash"];
  const end = hash === undefined ? -1 : name.lastIndexOf(`-${hash}`);
  if (end > 0) return name.slice(0, end);
  const job = labels["batch.kubernetes.io/job-name"] ?? labels["job-name"];
  // A CronJob's jobs bear the minute for which they were scheduled.
  if (job !== undefined) return job.replace(/-\d{8}$/, "");
  if (labels["statefulset.kubernetes.io/pod-name"] !== undefined) return name.replace(/-\d+$/, "");
  const isOfSet = labels["controller-revision-hash"] !== undefined;
  return isOfSet ? name.replace(/-[a-z0-9]{5}$/, "") : name;
}
