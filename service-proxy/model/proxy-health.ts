// When a node's proxy counts as healthy: what /healthz, /livez and the Services' health ports say.
// Unlike kube-proxy, a proxy that has not programmed a family yet is not healthy: load balancers
// must not send traffic to a node that has no rules.

import type { IpFamily } from "../../lib/kube/api/service.ts";

/** One moment on both hands of the clock: `monotonicMs` for ages, `wallMs` for people. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface FamilyHealth {
  /** End of the last successful sync; missing before the first. */
  readonly syncedAt?: Moment;
  /** When the oldest change that is not programmed yet was queued; missing when none waits. */
  readonly pendingSince?: Moment;
}

/** Only the families this node programs are in it. */
export type ProxyHealth = ReadonlyMap<IpFamily, FamilyHealth>;

/** What eligibility needs to know of this node's Node object. */
export interface NodeStanding {
  readonly taintKeys: readonly string[];
  readonly deleting: boolean;
}

export interface FamilyVerdict {
  readonly healthy: boolean;
  /** No change waits too long. Also before the first sync: without an API server there is none. */
  readonly alive: boolean;
  /** Milliseconds since 1970; missing before the first sync. */
  readonly lastUpdatedMs?: number;
}

export interface HealthVerdict {
  /** Every family is healthy, and there is one. */
  readonly healthy: boolean;
  /** Every family is alive: a restart would not help. */
  readonly alive: boolean;
  /** The newest sync of any family. */
  readonly lastUpdatedMs?: number;
  readonly families: ReadonlyMap<IpFamily, FamilyVerdict>;
}

/** The cluster autoscaler puts it on a node that it is about to remove (KEP-3836). */
const LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler";

/** Health of a proxy that is about to start. */
export function startingHealth(families: readonly IpFamily[]): ProxyHealth {
  return new Map(families.map((family) => [family, {}]));
}

/** A change waits to be programmed. Only the oldest counts. */
export function noteQueued(health: ProxyHealth, family: IpFamily, now: Moment): ProxyHealth {
  const before = health.get(family);
  if (before === undefined || before.pendingSince !== undefined) return health;
  return new Map([...health, [family, { ...before, pendingSince: now }]]);
}

/**
 * A sync succeeded.
 * @param queuedAt when the oldest change that came during the sync was queued, if one did
 */
export function noteSynced(
  health: ProxyHealth,
  family: IpFamily,
  at: { readonly now: Moment; readonly queuedAt?: Moment },
): ProxyHealth {
  if (!health.has(family)) return health;
  const waiting = at.queuedAt === undefined ? {} : { pendingSince: at.queuedAt };
  return new Map([...health, [family, { syncedAt: at.now, ...waiting }]]);
}

/** @param timeoutMs how long a change may wait; kube-proxy's is twice the sync period */
export function judgeHealth(
  health: ProxyHealth,
  at: { readonly now: Moment; readonly timeoutMs: number },
): HealthVerdict {
  const families = new Map<IpFamily, FamilyVerdict>();
  for (const [family, { syncedAt, pendingSince }] of health) {
    const waitedMs = pendingSince === undefined ? 0 : at.now.monotonicMs - pendingSince.monotonicMs;
    const alive = waitedMs < at.timeoutMs;
    families.set(family, {
      healthy: alive && syncedAt !== undefined,
      alive,
      ...(syncedAt === undefined ? {} : { lastUpdatedMs: syncedAt.wallMs }),
    });
  }
  const verdicts = [...families.values()];
  const times = verdicts.map((v) => v.lastUpdatedMs).filter((time) => time !== undefined);
  return {
    healthy: verdicts.length > 0 && verdicts.every((verdict) => verdict.healthy),
    alive: verdicts.every((verdict) => verdict.alive),
    ...(times.length === 0 ? {} : { lastUpdatedMs: Math.max(...times) }),
    families,
  };
}

/** Whether load balancers may use this node: it is known, stays, and nobody is removing it. */
export function isNodeEligible(node: NodeStanding | undefined): boolean {
  return node !== undefined && !node.deleting && !node.taintKeys.includes(LEAVING_TAINT);
}
