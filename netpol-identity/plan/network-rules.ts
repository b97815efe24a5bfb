// One set of policies as chains. They return for what is allowed and lead to `denied-…` for all
// else; they are named for the set's content, so that they come and go and never change.
//
//   closed ports → admin → denies → network → account          where one of the last two is there
//                                 → baseline → the default     where none is
//
// A part has a chain of its own only where more than the end of the one before leads to it.

import type { Family, Rule, Statement } from "../../lib/nft/objects.ts";
import { type Chain, field, goto, inSet, plain, returns } from "../../lib/nft/rule-parts.ts";
import { contentName } from "../evaluate/content-name.ts";
import type { AllowList, GroupId, PolicySet, SetPeers, SetRule } from "../evaluate/policy-set.ts";
import { addressIntervals, portIntervals } from "./network-intervals.ts";

/**
 * "in" and "out": what comes to a pod of this node and leaves it, as the kernel judges it. "node":
 * what a pod sends to its own node. "gate": what comes to an enrolled pod by way of a worker here,
 * which has the last word.
 */
export type NetworkSide = "in" | "out" | "node" | "gate";

/** Chains that tell of a denial and drop. */
export const DENIED = {
  in: "denied-in",
  out: "denied-out",
  node: "denied-out",
  gate: "denied-in",
  proven: "denied-proven",
  held: "denied-held",
} as const;

/** Pods' addresses beside themselves: a pod that calls itself through a Service. */
export const SELF_SET = "self";

const isSelf = inSet(SELF_SET, field("saddr"), field("daddr"));

/** The chain that judges by a set; it is the first of `setChains`. */
export function chainName(side: NetworkSide, set: PolicySet): string {
  return `${side}-${set.id}`;
}

/** The set of addresses of a group. */
export function groupSetName(group: GroupId): string {
  return `g-${group}`;
}

/** The set of addresses of enrolled pods in a group of identities. */
export function carrierSetName(group: GroupId): string {
  return `c-${group}`;
}

/** The chains of one family that judge by a set. */
export function setChains(side: NetworkSide, family: Family, set: PolicySet): readonly Chain[] {
  return new SetCompiler(side, family, set).compile();
}

type PortRanges = Exclude<SetRule["ports"], "any">;

class SetCompiler {
  readonly #side: NetworkSide;
  readonly #family: Family;
  readonly #set: PolicySet;
  readonly #deny: Statement;
  readonly #chains: Chain[] = [];

  constructor(side: NetworkSide, family: Family, set: PolicySet) {
    this.#side = side;
    this.#family = family;
    this.#set = set;
    this.#deny = goto(DENIED[side]);
  }

  compile(): readonly Chain[] {
    const { admin, network, account } = this.#set;
    const hasLists = network !== undefined || account !== undefined;
    const rest = hasLists ? this.#lists() : this.#withoutLists();
    const isPassed = admin.some(({ action }) => action === "pass");
    const next = this.#part("next", rest, isPassed);
    const rules = [...this.#closed(), ...this.#tier(admin, next.enter), ...next.rules];
    return [plain(chainName(this.#side, this.#set), rules), ...this.#chains];
  }

  /** What only workers let in. A call to itself is no concern of theirs. */
  #closed(): readonly Rule[] {
    const { provenPorts } = this.#set;
    if (this.#side !== "in" || provenPorts.length === 0) return [];
    return [[{ ...isSelf, negate: true }, portsOf(provenPorts), goto(DENIED.proven)]];
  }

  #lists(): readonly Rule[] {
    const { network, account, denies } = this.#set;
    const isBoth = network !== undefined && account !== undefined;
    const only = isBoth ? undefined : (network ?? account);
    // Calls to oneself are rare: they are asked about last where that makes no difference.
    if (only !== undefined && denies.length === 0) {
      return [...this.#all(only.rules, returns), ...this.#self(returns), [this.#deny]];
    }
    const last = account === undefined ? [] : this.#list(account, returns);
    const accounts = this.#part("account", last, isBoth);
    const enter = isBoth ? accounts.enter : returns;
    const first = network === undefined ? accounts.rules : this.#list(network, enter);
    return [...this.#self(returns), ...this.#all(denies, this.#deny), ...first];
  }

  #withoutLists(): readonly Rule[] {
    const { denies, baseline } = this.#set;
    const isLeft = baseline.some(({ action }) => action === "pass");
    const byDefault = this.#part("default", this.#default(), isLeft);
    const rules = [...this.#tier(baseline, byDefault.enter), ...byDefault.rules];
    const isSkipped = this.#side !== "gate" && denies.length > 0;
    const base = this.#part("base", rules, isSkipped);
    const self = isSkipped ? this.#self(base.enter) : [];
    return [...self, ...this.#all(denies, this.#deny), ...base.rules];
  }

  #default(): readonly Rule[] {
    const { otherwise } = this.#set;
    // Who goes by a worker has proved an identity.
    const isEnough = this.#side === "gate" && otherwise === "identity-required";
    if (otherwise === "open" || isEnough) return [];
    return [...this.#self(returns), [this.#deny]];
  }

  #self(then: Statement): readonly Rule[] {
    return this.#side === "gate" ? [] : [[isSelf, then]];
  }

  #list({ rules }: AllowList, then: Statement): readonly Rule[] {
    return [...this.#all(rules, then), [this.#deny]];
  }

  #all(rules: readonly SetRule[], then: Statement): readonly Rule[] {
    return rules.flatMap((rule) => this.#matches(rule).map((match) => [...match, then]));
  }

  /** First match decides. */
  #tier(rules: readonly SetRule[], leave: Statement): readonly Rule[] {
    return rules.flatMap((rule) => {
      const { action, requests } = rule;
      // Whether a request leaves the tier only a worker sees.
      const isUnsure = requests !== undefined && action === "pass";
      const then = action === "deny" ? this.#deny : action === "accept" ? returns : leave;
      return this.#all([rule], isUnsure ? returns : then);
    });
  }

  /** What comes next: here, or in a chain of its own where others lead to it as well. */
  #part(
    name: string,
    rules: readonly Rule[],
    isEntered: boolean,
  ): { readonly enter: Statement; readonly rules: readonly Rule[] } {
    if (rules.length === 0 || !isEntered) return { enter: returns, rules };
    const chain = `${chainName(this.#side, this.#set)}-${name}`;
    this.#chains.unshift(plain(chain, rules));
    return { enter: goto(chain), rules: [[goto(chain)]] };
  }

  /** One for each way to match the rule. */
  #matches(rule: SetRule): readonly Rule[] {
    const { ports, requests, action } = rule;
    if (ports !== "any" && ports.length === 0) return [];
    if (requests !== undefined && (this.#side !== "gate" || action === "deny")) return [];
    const toPorts = ports === "any" ? [] : [portsOf(ports)];
    return this.#peers(rule).map((peer) => [...peer, ...toPorts]);
  }

  #peers({ peers, action }: SetRule): readonly Rule[] {
    if (peers === "any") return [[]];
    const { groups, blocks, identities } = peers;
    const side = this.#side === "out" || this.#side === "node" ? "daddr" : "saddr";
    const among = (set: string): Rule => [inSet(set, field(side))];
    const within = addressIntervals(blocks, this.#family);
    // Where identities are denied, doubt is a match: whoever has none may be the one.
    const isDoubted = this.#side === "in" && action === "deny" && identities.length > 0;
    if (within === "all" || isDoubted) return [[]];
    return [
      ...groups.map((group) => among(groupSetName(group))),
      ...(within.length > 0 ? [[inIntervals(side, within)]] : []),
      ...(this.#side === "in" ? [] : identities.map((group) => among(carrierSetName(group)))),
    ];
  }
}

function inIntervals(side: "saddr" | "daddr", intervals: readonly string[]): Statement {
  const [only] = intervals;
  return only?.includes("/") && intervals.length === 1
    ? { kind: "prefix", field: side, prefix: only }
    : { kind: "in-list", key: [field(side)], elements: intervals };
}

/** Most rules are about one port over TCP; what else there is has a set that equal lists share. */
function portsOf(ports: PortRanges): Statement {
  const port = singlePort(ports);
  if (port !== undefined) return { kind: "tcp-dport", port };
  return inSet(portSetName(ports), field("meta l4proto"), field("th dport"));
}

function singlePort([only, ...more]: PortRanges): number | undefined {
  const isSingle = more.length === 0 && only?.protocol === "TCP" && only.first === only.last;
  return isSingle ? only.first : undefined;
}

function portSetName(ports: PortRanges): string {
  return `t-${contentName(portIntervals(ports).join())}`;
}

/** What the chains of a set look into. */
export interface AskedSets {
  readonly addresses: readonly GroupId[];
  readonly carriers: readonly GroupId[];
  /** By name, the keys of what holds protocols and ports. */
  readonly ports: ReadonlyMap<string, readonly string[]>;
}

export function setsAsked(side: NetworkSide, set: PolicySet): AskedSets {
  const { admin, denies, network, account, baseline, provenPorts } = set;
  const lists = [network, account].flatMap((list) => list?.rules ?? []);
  const rules = [...admin, ...denies, ...lists, ...baseline];
  const peers = rules.map((rule) => rule.peers).filter((one): one is SetPeers => one !== "any");
  const ports = [...rules.map((rule) => rule.ports), side === "in" ? provenPorts : []]
    .filter((one): one is PortRanges => one !== "any" && one.length > 0)
    .filter((one) => singlePort(one) === undefined);
  return {
    addresses: peers.flatMap(({ groups }) => groups),
    carriers: side === "in" ? [] : peers.flatMap(({ identities }) => identities),
    ports: new Map(ports.map((one) => [portSetName(one), portIntervals(one)])),
  };
}
