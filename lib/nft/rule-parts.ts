// Words that rules are put together from.

import type { ChainSpec, Field, Operand, Rule, Statement, Verdict } from "./objects.ts";

export interface Chain {
  readonly spec: ChainSpec;
  readonly rules: readonly Rule[];
}

export const priority: Operand = { kind: "field", field: "meta priority" };
export const accept: Statement = verdict({ kind: "accept" });
export const drop: Statement = verdict({ kind: "drop" });
export const returns: Statement = verdict({ kind: "return" });

export function field(name: Exclude<Field, "index">): Operand {
  return { kind: "field", field: name };
}

export function random(modulus: number): Operand {
  return { kind: "random", modulus };
}

export function verdict(value: Verdict): Statement {
  return { kind: "verdict", verdict: value };
}

export function goto(chain: string): Statement {
  return verdict({ kind: "goto", chain });
}

export function jump(chain: string): Statement {
  return verdict({ kind: "jump", chain });
}

export function setPriority(map: string, ...key: Operand[]): Statement {
  return { kind: "set-priority", key, map };
}

export function inSet(name: string, ...key: Operand[]): Extract<Statement, { kind: "in-set" }> {
  return { kind: "in-set", key, set: name };
}

/** A chain on a netfilter hook. */
export function base(
  name: string,
  type: "nat" | "filter" | "route",
  hook: "prerouting" | "input" | "output" | "forward" | "postrouting",
  hookPriority: number,
  rules: readonly Rule[],
): Chain {
  return { spec: { name, base: { type, hook, priority: hookPriority } }, rules };
}

/** A chain that other rules lead to. */
export function plain(name: string, rules: readonly Rule[]): Chain {
  return { spec: { name }, rules };
}
