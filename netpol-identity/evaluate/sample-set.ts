// Sets written by hand for tests, with what they need filled in.

import { provenPorts } from "./proven-ports.ts";
import type { AllowList, Groups, PolicySet, SetPeers, SetRule } from "./policy-set.ts";
import type { Flow } from "./verdict.ts";

/** Accepts everybody on every port, unless said otherwise. */
export function sampleRule(name: string, rule: Partial<SetRule> = {}): SetRule {
  return { name, action: "accept", peers: "any", ports: "any", ...rule };
}

export function samplePeers(peers: Partial<SetPeers>): SetPeers {
  return { groups: [], blocks: [], identities: [], ...peers };
}

/** Of policies that are named for their rules. */
export function sampleList(...rules: readonly SetRule[]): AllowList {
  return { rules, policies: ["NetworkPolicy shop/web", "NetworkPolicy shop/db"] };
}

/** Of what comes in, under an open default, unless said otherwise. */
export function sampleSet(parts: Partial<Omit<PolicySet, "id" | "provenPorts">>): PolicySet {
  const set = {
    direction: "ingress",
    admin: [],
    denies: [],
    audits: [],
    baseline: [],
    otherwise: "open",
    ...parts,
  } as const;
  return { id: "0123456789abcdef", ...set, provenPorts: provenPorts(set) };
}

/** Of addresses where a member is one, of identities where it is a URI. */
export function sampleGroups(members: Readonly<Record<string, readonly string[]>>): Groups {
  const sets = new Map(Object.entries(members).map(([id, list]) => [id, new Set(list)]));
  return { addresses: (id) => sets.get(id), identities: (id) => sets.get(id) };
}

/** TCP to port 80, from 10.0.0.1, that proves nothing. */
export function sampleFlow(flow: Partial<Flow> = {}): Flow {
  return { protocol: "TCP", port: 80, address: "10.0.0.1", identity: null, ...flow };
}
