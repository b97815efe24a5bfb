// May they speak? Asked in this order; the first that answers decides:
//   1 admin        ClusterNetworkPolicy Admin, by priority: Accept, Deny; Pass leaves the tier
//   2 closed port  some rule asks for an identity there and the flow has none: denied, unless 1
//                  denied it already. An Accept of 1 does not open it: the kernel never lets it in
//   3 deny         ServiceAccountPolicy Deny: any match
//   4 allow        NetworkPolicy and ServiceAccountPolicy Allow: of each that selects the pod one
//                  rule must match
//   5 baseline     ClusterNetworkPolicy Baseline, where nothing of 4 selects the pod
//   6 the mesh's default
// A pod's call to itself is judged by 1 and 5 alone.

import type { AllowList, Groups, PolicySet, SetRule } from "./policy-set.ts";
import { coversPort, RuleMatcher } from "./rule-match.ts";
import type { Flow, Verdict } from "./verdict.ts";

type Need = Extract<Verdict, { kind: "open" }>["needs"];

const UNSELECTED: Verdict = { kind: "allow", rule: "no policy selects it" };
const SELF = "a pod may call itself";
const NEEDS_IDENTITY = "its port needs a certificate";
const NEEDS_TCP = "rules about identities and requests close its port to all but TCP";

/**
 * What the policies of one pod say in one direction about a flow. Where a certificate or a request
 * that is not known yet could bring an allow as well as a deny, the verdict is open; where it could
 * not, it is that one. Rules that are open count as independent of each other, so a verdict may be
 * open where a closer look could tell, never the other way. Never throws.
 * @param set undefined: no policy selects the pod in that direction
 */
export function judge(set: PolicySet | undefined, flow: Flow, groups: Groups): Verdict {
  if (set === undefined) return UNSELECTED;
  const matcher = new RuleMatcher(set.direction, flow, groups);
  const outcomes = new Outcomes();
  const closed = closedBy(set, flow);
  if (closed !== undefined && (flow.identity === null || closed === NEEDS_TCP)) {
    const admin = judgeTier(set.admin, matcher, outcomes);
    return admin?.kind === "deny" ? admin : { kind: "deny", rule: closed };
  }
  if (closed !== undefined) outcomes.mayBe("deny", closed, "identity");
  return (
    judgeTier(set.admin, matcher, outcomes) ??
    (flow.isSelf ? undefined : judgeDenies(set.denies, matcher, outcomes)) ??
    judgeAllows(set, flow, matcher, outcomes) ??
    judgeTier(set.baseline, matcher, outcomes) ??
    judgeDefault(set, flow, outcomes)
  );
}

/**
 * Names of the rules whose match is to be told: of those that match for certain. They decide
 * nothing. Never throws.
 */
export function auditsOf(
  set: PolicySet | undefined,
  flow: Flow,
  groups: Groups,
): readonly string[] {
  if (set === undefined || set.audits.length === 0) return [];
  const matcher = new RuleMatcher(set.direction, flow, groups);
  return set.audits.filter((rule) => matcher.match(rule) === "yes").map(({ name }) => name);
}

/** What may come of it, while rules are open. */
class Outcomes {
  #allows = false;
  #denies = false;
  #open: { readonly needs: Need; readonly rule: string } | undefined;

  /** @param needs what has to tell; undefined: something before it */
  mayBe(kind: "allow" | "deny", rule: string, needs?: Need): void {
    if (kind === "allow") this.#allows = true;
    else this.#denies = true;
    if (needs !== undefined) this.mayMatch(rule, needs);
  }

  /** An open rule after which others are asked either way. */
  mayMatch(rule: string, needs: Need): void {
    this.#open ??= { needs, rule };
  }

  /** What comes of it if nothing before decided: the last of all outcomes. */
  end(kind: "allow" | "deny", rule: string): Verdict {
    const isOther = kind === "allow" ? this.#denies : this.#allows;
    return isOther && this.#open !== undefined ? { kind: "open", ...this.#open } : { kind, rule };
  }
}

/** First match decides. Undefined: it may be left, by a Pass or because nothing matches. */
function judgeTier(
  rules: readonly SetRule[],
  matcher: RuleMatcher,
  outcomes: Outcomes,
): Verdict | undefined {
  let mayLeave = false;
  for (const rule of rules) {
    const match = matcher.match(rule);
    if (match === "no") continue;
    if (match !== "yes") {
      if (rule.action === "pass") {
        mayLeave = true;
        outcomes.mayMatch(rule.name, match);
      } else {
        outcomes.mayBe(rule.action === "accept" ? "allow" : "deny", rule.name, match);
      }
      continue;
    }
    if (rule.action === "pass") return undefined;
    const kind = rule.action === "accept" ? "allow" : "deny";
    if (!mayLeave) return outcomes.end(kind, rule.name);
    outcomes.mayBe(kind, rule.name);
    return undefined;
  }
  return undefined;
}

function judgeDenies(
  rules: readonly SetRule[],
  matcher: RuleMatcher,
  outcomes: Outcomes,
): Verdict | undefined {
  for (const rule of rules) {
    const match = matcher.match(rule);
    if (match === "yes") return outcomes.end("deny", rule.name);
    if (match !== "no") outcomes.mayBe("deny", rule.name, match);
  }
  return undefined;
}

/** Undefined: neither of the two selects the pod. */
function judgeAllows(
  { network, account }: PolicySet,
  flow: Flow,
  matcher: RuleMatcher,
  outcomes: Outcomes,
): Verdict | undefined {
  if (network === undefined && account === undefined) return undefined;
  if (flow.isSelf) return outcomes.end("allow", SELF);
  const byNetwork = network && findAllow(network, matcher, outcomes);
  if (network !== undefined && byNetwork === undefined) return denyAll(network, outcomes);
  const byAccount = account && findAllow(account, matcher, outcomes);
  if (account !== undefined && byAccount === undefined) return denyAll(account, outcomes);
  if (byNetwork === undefined) return outcomes.end("allow", byAccount ?? "");
  const rule = byAccount === undefined ? byNetwork : `${byNetwork} and ${byAccount}`;
  return outcomes.end("allow", rule);
}

/** The name of a rule that matches or, if none does, of one that may. */
function findAllow(
  { rules }: AllowList,
  matcher: RuleMatcher,
  outcomes: Outcomes,
): string | undefined {
  let open: SetRule | undefined;
  let needs: Need = "identity";
  for (const rule of rules) {
    const match = matcher.match(rule);
    if (match === "yes") return rule.name;
    if (match === "no" || open !== undefined) continue;
    open = rule;
    needs = match;
  }
  if (open !== undefined) outcomes.mayBe("deny", open.name, needs);
  return open?.name;
}

function denyAll({ policies }: AllowList, outcomes: Outcomes): Verdict {
  return outcomes.end("deny", `no rule of ${policies.join(", ")} matches`);
}

function judgeDefault({ otherwise }: PolicySet, flow: Flow, outcomes: Outcomes): Verdict {
  if (flow.isSelf) return outcomes.end("allow", SELF);
  const rule = `the mesh's default is ${otherwise}`;
  if (otherwise === "open") return outcomes.end("allow", rule);
  if (otherwise === "deny" || flow.identity === null) return outcomes.end("deny", rule);
  if (flow.identity !== "unproven") return outcomes.end("allow", rule);
  if (flow.protocol !== "TCP") return outcomes.end("deny", rule);
  outcomes.mayBe("deny", rule, "identity");
  return outcomes.end("allow", rule);
}

/** Why nothing but what proves an identity comes to this port; undefined where that is not so. */
function closedBy(set: PolicySet, flow: Flow): string | undefined {
  const { identity, protocol, port } = flow;
  const isProven = identity !== null && identity !== "unproven";
  if (flow.isSelf || set.provenPorts.length === 0) return undefined;
  if (protocol !== "TCP") {
    return coversPort(set.provenPorts, protocol, port) ? NEEDS_TCP : undefined;
  }
  if (isProven) return undefined;
  const asks = (rule: SetRule): boolean =>
    rule.peers !== "any" &&
    rule.peers.identities.length > 0 &&
    coversPort(rule.ports, protocol, port);
  const { admin, denies, network, account, baseline } = set;
  const lists = [admin, denies, network?.rules, account?.rules, baseline];
  const isAsked = lists.some((rules) => rules?.some(asks));
  return isAsked ? NEEDS_IDENTITY : undefined;
}
