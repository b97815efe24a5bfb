// How much rules may ask of a request. Each request to a pod is held against all conditions of the
// pod's rules, many times where its headers can be read in several ways, in a worker that serves
// everybody: 4,200,000 conditions took one 90 ms for a single request.

import type { HttpRequestPath } from "../../lib/kube/api/request-match.ts";
import type { PolicySet, SetRule } from "./policy-set.ts";
import { provenPorts } from "./proven-ports.ts";

/**
 * Methods, paths, hosts and headers that the rules of one pod name, each time that they do; of
 * templates each segment, as they are compared one by one.
 */
export const MOST_CONDITIONS = 4_096;

type SetRules = Omit<PolicySet, "id" | "provenPorts">;

/**
 * The rules as they are or, where they ask more than that, with a denial in place of all that ask
 * anything: at their ports nobody gets in but the pod itself, and whom the cluster's admin accepts.
 */
export function withinConditions(set: SetRules): SetRules {
  const { denies, audits, account } = set;
  const deciding = [...denies, ...(account?.rules ?? [])].filter(asks);
  const asking = [...deciding, ...audits.filter(asks)];
  const total = asking.reduce((sum, rule) => sum + conditionsOf(rule), 0);
  if (total <= MOST_CONDITIONS) return set;
  const [worst] = asking.toSorted((a, b) => conditionsOf(b) - conditionsOf(a));
  const name = `its rules have too many conditions on requests, most of them ${worst?.name}`;
  const nothing = { admin: [], denies: [], audits: [], baseline: [], otherwise: "open" } as const;
  const ports = provenPorts({ direction: set.direction, ...nothing, denies: deciding });
  const rest = (rules: readonly SetRule[]): readonly SetRule[] => rules.filter((one) => !asks(one));
  return {
    ...set,
    denies: [{ name, action: "deny", peers: "any", ports }, ...rest(denies)],
    audits: rest(audits),
    ...(account && { account: { ...account, rules: rest(account.rules) } }),
    conditions: total,
  };
}

function asks({ requests }: SetRule): boolean {
  return requests !== undefined;
}

function conditionsOf({ requests = [] }: SetRule): number {
  return requests.reduce((sum, { methods = [], path, hosts = [], headers = [] }) => {
    const others = methods.length + hosts.length + headers.length;
    return sum + others + (path === undefined ? 0 : stepsOf(path));
  }, 0);
}

function stepsOf({ kind, value }: HttpRequestPath): number {
  return kind === "template" ? value.split("/").length - 1 : 1;
}
