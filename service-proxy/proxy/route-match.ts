// Which rule of a table serves a request: the first in the table's order that matches. Exact paths
// and prefixes are found by name, so a request costs what its path is deep, not what the table is
// long; only expressions are tried one after the other.

import type { RequestHead } from "../../lib/http/message.ts";
import { withoutQuery } from "../model/route-path.ts";
import type { RouteRule, RouteTable } from "../model/route-table.ts";
import { type Condition, compileCheckedRegex, compileCondition } from "./route-condition.ts";

export interface RouteMatcher {
  /**
   * Whether the table has rules for these clients. Where it has none, their connections are to be
   * treated as if there were no table: it is other namespaces' consumer routes, and what these
   * clients speak may not even be HTTP.
   * @param clientNamespace undefined for clients that are no pods of this cluster's node
   */
  appliesTo(clientNamespace: string | undefined): boolean;
  /**
   * The rule that serves the request; undefined asks for 404. Consumer routes of the client's
   * namespace stand for all others (GEP-1294).
   * @param head with its path in normal form (`normalisePath`)
   */
  match(head: RequestHead, clientNamespace: string | undefined): RouteRule | undefined;
}

/** Compiles a table; its order is the precedence. */
export function compileRoutes({ rules }: RouteTable): RouteMatcher {
  const byNamespace = Map.groupBy(rules, ({ match }) => match.clientNamespace);
  const indexes = new Map([...byNamespace].map(([name, own]) => [name, new RuleIndex(own)]));
  const everybody = indexes.get(undefined);
  const indexFor = (clientNamespace: string | undefined): RuleIndex | undefined =>
    indexes.get(clientNamespace) ?? everybody;
  return {
    appliesTo: (clientNamespace) => indexFor(clientNamespace) !== undefined,
    match: (head, clientNamespace) => indexFor(clientNamespace)?.first(head),
  };
}

interface CompiledRule {
  readonly rule: RouteRule;
  /** Its place in the table. */
  readonly order: number;
  readonly condition: Condition | undefined;
}

interface RegexRule extends CompiledRule {
  readonly test: (path: string) => boolean;
}

class RuleIndex {
  readonly #exact = new Map<string, CompiledRule[]>();
  /** By prefix without its last slash: "" for all paths. */
  readonly #prefixes = new Map<string, CompiledRule[]>();
  readonly #expressions: RegexRule[] = [];
  /** Segments of the longest prefix. */
  #depth = 0;

  constructor(rules: readonly RouteRule[]) {
    for (const [order, rule] of rules.entries()) this.#add(rule, order);
  }

  first(head: RequestHead): RouteRule | undefined {
    const path = withoutQuery(head.path);
    let best = earlier(this.#exact.get(path), head, undefined);
    for (const one of this.#expressions) {
      if (best !== undefined && one.order > best.order) break;
      if (!one.test(path) || one.condition?.(head) === false) continue;
      best = one;
      break;
    }
    best = earlier(this.#prefixes.get(""), head, best);
    for (let depth = 1, end = 0; depth <= this.#depth && end < path.length; depth++) {
      const slash = path.indexOf("/", end + 1);
      end = slash === -1 ? path.length : slash;
      best = earlier(this.#prefixes.get(path.slice(0, end)), head, best);
    }
    return best?.rule;
  }

  #add(rule: RouteRule, order: number): void {
    const condition = compileCondition(rule.match);
    const { kind, value } = rule.match.path ?? { kind: "prefix", value: "/" };
    switch (kind) {
      case "exact":
        return append(this.#exact, value, { rule, order, condition });
      case "prefix": {
        const prefix = value.replace(/\/$/, "");
        this.#depth = Math.max(this.#depth, prefix.split("/").length - 1);
        return append(this.#prefixes, prefix, { rule, order, condition });
      }
      case "regex":
        this.#expressions.push({ rule, order, condition, test: compileCheckedRegex(value) });
        return;
      default:
        kind satisfies never;
    }
  }
}

/** The first of `rules` that matches, unless `best` stands before it. */
function earlier(
  rules: readonly CompiledRule[] | undefined,
  head: RequestHead,
  best: CompiledRule | undefined,
): CompiledRule | undefined {
  if (rules === undefined) return best;
  for (const one of rules) {
    if (best !== undefined && one.order > best.order) return best;
    if (one.condition === undefined || one.condition(head)) return one;
  }
  return best;
}

function append(index: Map<string, CompiledRule[]>, key: string, rule: CompiledRule): void {
  const rules = index.get(key);
  if (rules === undefined) index.set(key, [rule]);
  else rules.push(rule);
}
