// What a worker counts of verdicts. The names of policies come from the plan, and a limit bounds
// how many of them become labels.

import type { WorkerDenial } from "../model/denial-report.ts";
import type { SeenRequests } from "../model/edge-report.ts";
import type { Direction } from "../model/policy.ts";
import type { TunnelTelemetryMessage } from "../tunnel/tunnel-telemetry.ts";

export type VerdictKind = "allow" | "deny" | "audit";

/** Of all counters of one worker since it started. */
const MOST_POLICIES = 200;
/** Of one namespace, beyond the limit. */
const OWN_POLICIES = 4;
/** Stands for all beyond the limit. */
export const OTHER_POLICIES = "(other)";
/** Stands for what no policy decided: the mesh's default, or that nothing is known. */
export const NO_POLICY = "(none)";

/** What a worker counted beside Services; missing where it does not do that. */
export interface WorkerTelemetry {
  readonly tunnels?: TunnelTelemetryMessage;
  readonly policy?: PolicyTelemetryMessage;
}

/** Counts since the last message. */
export interface PolicyTelemetryMessage {
  readonly verdicts: readonly (readonly [
    direction: Direction,
    verdict: VerdictKind,
    policy: string,
    times: number,
  ])[];
  /** Missing where there were none. */
  readonly denials?: readonly WorkerDenial[];
  /** The same. */
  readonly requests?: readonly SeenRequests[];
}

interface Count {
  readonly direction: Direction;
  readonly kind: VerdictKind;
  readonly policy: string;
  times: number;
}

export class PolicyTelemetry {
  readonly #policies = new PolicyLabels(MOST_POLICIES);
  readonly #byRule = new Map<string, Count>();
  readonly #counts = new Map<string, Count>();

  /** @param rule as a verdict names it: `NetworkPolicy shop/web ingress[0]` */
  count(direction: Direction, kind: VerdictKind, rule: string): void {
    const key = `${direction} ${kind} ${rule}`;
    let count = this.#byRule.get(key);
    if (count === undefined) {
      count = this.#countOf(direction, kind, this.#policies.label(policyOf(rule)));
      // Rules come and go with their policies.
      if (this.#byRule.size >= MOST_RULES) this.#byRule.clear();
      this.#byRule.set(key, count);
    }
    count.times++;
  }

  take(): PolicyTelemetryMessage {
    const verdicts: [Direction, VerdictKind, string, number][] = [];
    for (const count of this.#counts.values()) {
      const { direction, kind, policy, times } = count;
      if (times > 0) verdicts.push([direction, kind, policy, times]);
      count.times = 0;
    }
    return { verdicts };
  }

  #countOf(direction: Direction, kind: VerdictKind, policy: string): Count {
    const key = `${direction} ${kind} ${policy}`;
    const count = this.#counts.get(key) ?? { direction, kind, policy, times: 0 };
    this.#counts.set(key, count);
    return count;
  }
}

/** Which names of policies become labels: so many and, of namespaces that have few, some more. */
export class PolicyLabels {
  readonly #most: number;
  readonly #policies = new Set<string>();
  readonly #byNamespace = new Map<string, number>();

  /** @param most twice as many with those of other namespaces */
  constructor(most: number) {
    this.#most = most;
  }

  label(policy: string): string {
    if (policy === NO_POLICY || this.#policies.has(policy)) return policy;
    const [, namespace = ""] = / (.*)\//.exec(policy) ?? [];
    const own = this.#byNamespace.get(namespace) ?? 0;
    const most = own < OWN_POLICIES ? 2 * this.#most : this.#most;
    if (this.#policies.size >= most) return OTHER_POLICIES;
    this.#policies.add(policy);
    this.#byNamespace.set(namespace, own + 1);
    return policy;
  }
}

const MOST_RULES = 4_096;

/** The first policy that a rule's name, or the reason of a denial, speaks of. */
export function policyOf(rule: string): string {
  return /(?<![^ ])[A-Z]\w*Policy [^ ,]+/.exec(rule)?.[0] ?? NO_POLICY;
}
