// What the workers of a node counted of verdicts, summed.

import {
  PolicyLabels,
  type PolicyTelemetryMessage,
  type VerdictKind,
} from "../proxy/policy-telemetry.ts";
import type { Direction } from "../model/policy.ts";

/** Workers come and go, and each brings as many names as one may. */
const MOST_POLICIES = 400;

export interface VerdictCount {
  readonly direction: Direction;
  readonly verdict: VerdictKind;
  readonly policy: string;
  times: number;
}

export class PolicyStats {
  readonly #counts = new Map<string, VerdictCount>();
  readonly #policies = new PolicyLabels(MOST_POLICIES);

  /** Since the start. */
  get verdicts(): Iterable<VerdictCount> {
    return this.#counts.values();
  }

  add({ verdicts }: PolicyTelemetryMessage): void {
    for (const [direction, verdict, name, times] of verdicts) {
      const policy = this.#policies.label(name);
      const key = `${direction} ${verdict} ${policy}`;
      const count = this.#counts.get(key) ?? { direction, verdict, policy, times: 0 };
      count.times += times;
      this.#counts.set(key, count);
    }
  }
}
