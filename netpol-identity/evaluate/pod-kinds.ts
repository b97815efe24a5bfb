// Pods that no policy can tell apart share one answer: those of one ReplicaSet wear the same labels
// and open the same ports, as the same objects.

import type { Labels } from "../../lib/kube/api/intern.ts";
import type { Pod } from "../../lib/kube/api/pod.ts";

export class PodKinds<Answer extends object> {
  readonly #answers = new Map<Labels, Map<Pod["ports"], Map<string, Answer>>>();

  /** The answer about the pod's kind, made where there is none yet. */
  of(pod: Pod, make: () => Answer): Answer {
    const byPorts = at(this.#answers, pod.labels, () => new Map());
    const byPlace = at(byPorts, pod.ports, () => new Map<string, Answer>());
    return at(byPlace, `${pod.namespace}/${pod.serviceAccount}`, make);
  }
}

function at<Key, Value extends object>(
  map: Map<Key, Value>,
  key: Key,
  make: () => NoInfer<Value>,
): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
