// Whose identity processes of a node have that are in no pod's network: its agent's, which the
// authority signs for anyway, since it is the caller's own.

import type { Pod } from "../../lib/kube/api/pod.ts";
import { takesTunnels } from "./peer-nodes.ts";

/**
 * The agent of a node whose ServiceAccount its processes have; undefined where none takes tunnels.
 * Of several, as while one replaces another, always the same one.
 */
export function hostAccount(pods: Iterable<Pod>, nodeName: string): Pod | undefined {
  let found: Pod | undefined;
  for (const pod of pods) {
    if (pod.nodeName !== nodeName || !takesTunnels(pod)) continue;
    if (found === undefined || nameOf(pod) < nameOf(found)) found = pod;
  }
  return found;
}

function nameOf({ namespace, name }: Pod): string {
  return `${namespace}/${name}`;
}
