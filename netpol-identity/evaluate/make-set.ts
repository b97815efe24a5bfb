// From what the policies that select a pod say to what holds for it in one direction: rules by
// tier, under a name made of all of it.

import type { Pod } from "../../lib/kube/api/pod.ts";
import type { Direction, MeshDefault, Tier } from "../model/policy.ts";
import { contentName } from "./content-name.ts";
import { ownNodeSet } from "./own-node-set.ts";
import type { PolicyRules } from "./policy-rules.ts";
import type { AllowList, PolicySet } from "./policy-set.ts";
import { provenPorts } from "./proven-ports.ts";
import { withinConditions } from "./request-limit.ts";

export interface SetSubject {
  readonly direction: Direction;
  /** Of all that select the pod. */
  readonly policies: readonly PolicyRules[];
  /** The pod's own: what named ports of rules about what comes in mean. */
  readonly ports: Pod["ports"];
  readonly otherwise: MeshDefault;
}

/**
 * The set of a pod; undefined where nothing is said about that direction and the default is open.
 * The order in which policies are given does not matter.
 */
export function makeSet(subject: SetSubject): PolicySet | undefined {
  const { direction, ports } = subject;
  // Who is called has an identity only in the mesh; asking it of the world would close the world.
  const isAsked = direction === "ingress" || subject.otherwise !== "identity-required";
  const otherwise = isAsked ? subject.otherwise : "open";
  const policies = subject.policies
    .filter(({ policy }) => policy[direction] !== undefined)
    .sort(({ policy: a }, { policy: b }) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
  if (policies.length === 0 && otherwise === "open") return undefined;
  const ofTier = (tier: Tier): AllowList => {
    const those = policies.filter(({ policy }) => policy.tier === tier);
    return {
      policies: those.map(({ policy }) => policy.name),
      rules: those.flatMap((one) => (direction === "ingress" ? one.ingress(ports) : one.egress)),
    };
  };
  const [network, account] = [ofTier("network"), ofTier("account")];
  const parts = withinConditions({
    direction,
    admin: ofTier("admin").rules,
    denies: ofTier("account-deny").rules,
    audits: ofTier("account-audit").rules,
    ...(network.policies.length > 0 && { network }),
    ...(account.policies.length > 0 && { account }),
    baseline: ofTier("baseline").rules,
    otherwise,
  });
  const content = { ...parts, provenPorts: provenPorts(parts) };
  const ownNode = direction === "egress" ? ownNodeSet(content) : undefined;
  return { id: contentName(JSON.stringify(content)), ...content, ...(ownNode && { ownNode }) };
}
