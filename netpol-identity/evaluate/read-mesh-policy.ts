// MeshPolicy as this feature sees it: what holds where no policy speaks, and for whom it does not.

import type { MeshPolicy, MeshPolicyDefault } from "../../lib/kube/api/mesh-policy.ts";
import type { MeshDefault, NamespaceQuery, PodQuery } from "../model/policy.ts";

export interface MeshRule {
  readonly otherwise: MeshDefault;
  /** Pods for which all is open instead. */
  readonly exceptions: readonly PodQuery[];
}

const DEFAULTS = {
  Open: "open",
  IdentityRequired: "identity-required",
  Deny: "deny",
} as const satisfies Record<MeshPolicyDefault, MeshDefault>;

/** @param object the one named MESH_POLICY; where there is none, everything is open */
export function meshRuleOf(object: MeshPolicy | undefined): MeshRule {
  if (object === undefined) return { otherwise: "open", exceptions: [] };
  const exceptions = object.exceptions.flatMap(({ namespaces, podSelector: labels }) => {
    const queries: readonly NamespaceQuery[] =
      "matchLabels" in namespaces
        ? [{ kind: "labelled", selector: namespaces }]
        : namespaces.map((name) => ({ kind: "named", name }));
    return queries.map((query) => ({ namespaces: query, labels }));
  });
  return { otherwise: DEFAULTS[object.default], exceptions };
}
