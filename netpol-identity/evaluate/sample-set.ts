// Sets written by hand for tests, with what they need filled in.

import { contentName } from "./content-name.ts";
import type { AllowList, Groups, PolicySet, SetPeers, SetRule } from "./policy-set.ts";
import { provenPorts } from "./proven-ports.ts";
import type { Flow } from "./verdict.ts";

type Members = Readonly<Record<string, readonly string[]>>;

/** Accepts everybody on every port, unless said otherwise. */
export function sampleRule(rule: Partial<SetRule> = {}): SetRule {
  return { name: "a rule", action: "accept", peers: "any", ports: "any", ...rule };
}

/** Nobody but those. */
export function samplePeers(peers: Partial<SetPeers>): SetPeers {
  return { groups: [], blocks: [], identities: [], ...peers };
}

/** Of two policies. */
export function sampleList(...rules: readonly SetRule[]): AllowList {
  return { rules, policies: ["NetworkPolicy shop/web", "NetworkPolicy shop/db"] };
}

/** Says nothing of what comes in, under an open default, unless said otherwise. */
export function sampleSet(parts: Partial<PolicySet> = {}): PolicySet {
  const rules = {
    direction: "ingress",
    admin: [],
    denies: [],
    audits: [],
    baseline: [],
    otherwise: "open",
    ...parts,
  } as const;
  const set = { provenPorts: provenPorts(rules), ...rules };
  return { id: contentName(JSON.stringify(set)), ...set };
}

/** @param identities those of `addresses` unless said: of URIs where a member is one */
export function sampleGroups(addresses: Members, identities: Members = addresses): Groups {
  const [byAddress, byIdentity] = [setsOf(addresses), setsOf(identities)];
  return {
    addresses: (group) => byAddress.get(group),
    identities: (group) => byIdentity.get(group),
  };
}

function setsOf(members: Members): ReadonlyMap<string, ReadonlySet<string>> {
  return new Map(Object.entries(members).map(([group, list]) => [group, new Set(list)]));
}

/** TCP to port 80, from 10.0.0.1, that proves nothing. */
export function sampleFlow(flow: Partial<Flow> = {}): Flow {
  return { protocol: "TCP", port: 80, address: "10.0.0.1", identity: null, ...flow };
}
