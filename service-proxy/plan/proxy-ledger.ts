// What proxy workers should know, who asked for it, and what they have not been told yet. Two
// Services may claim one frontend: the older one has it, as in the kernel's maps. A value
// holder: no I/O, no clock.

import type {
  FrontendKey,
  GroupKey,
  PortKey,
  ProxyFrontend,
  ProxyGroup,
  ProxyPlanDelta,
  ProxyPort,
} from "../model/proxy-plan.ts";
import type { Owner } from "./element-ledger.ts";

/** What one Service asks for. */
export interface ProxyParts {
  readonly frontends: ReadonlyMap<FrontendKey, ProxyFrontend>;
  readonly ports: ReadonlyMap<PortKey, ProxyPort>;
  readonly groups: ReadonlyMap<GroupKey, ProxyGroup>;
}

/** The part of a plan that Services ask for. */
export type LedgerDelta = Pick<ProxyPlanDelta, "frontends" | "ports" | "groups">;

export const NO_PROXY_PARTS: ProxyParts = {
  frontends: new Map(),
  ports: new Map(),
  groups: new Map(),
};

export class ProxyLedger {
  readonly #frontends = new ClaimTable<ProxyFrontend>();
  readonly #ports = new ClaimTable<ProxyPort>();
  readonly #groups = new ClaimTable<ProxyGroup>();

  /** Replaces what one owner asks for. */
  replace(owner: Owner, before: ProxyParts, after: ProxyParts): void {
    this.#frontends.replace(owner, before.frontends, after.frontends);
    this.#ports.replace(owner, before.ports, after.ports);
    this.#groups.replace(owner, before.groups, after.groups);
  }

  get isEmpty(): boolean {
    return this.#frontends.wanted.size === 0;
  }

  /** What is new or differs since the last call. */
  takeFresh(): LedgerDelta {
    return {
      frontends: this.#frontends.takeFresh(),
      ports: this.#ports.takeFresh(),
      groups: this.#groups.takeFresh(),
    };
  }

  /** What is gone since the last call, and did not come back. */
  takeGone(): LedgerDelta {
    return {
      frontends: this.#frontends.takeGone(),
      ports: this.#ports.takeGone(),
      groups: this.#groups.takeGone(),
    };
  }

  /** Everything, for a worker that knows nothing. */
  whole(): LedgerDelta {
    return {
      frontends: [...this.#frontends.wanted],
      ports: [...this.#ports.wanted],
      groups: [...this.#groups.wanted],
    };
  }
}

interface Claim<V> {
  readonly owner: Owner;
  readonly value: V;
}

/** Values by key, each the one of its oldest claimant. */
class ClaimTable<V> {
  readonly wanted = new Map<string, V>();
  readonly #claims = new Map<string, readonly Claim<V>[]>();
  /** Keys to be told, and keys to be taken back; a key is in one of them at most. */
  readonly #fresh = new Set<string>();
  readonly #gone = new Set<string>();

  replace(owner: Owner, before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): void {
    for (const key of before.keys()) if (!after.has(key)) this.#settle(key, owner, undefined);
    for (const [key, value] of after) {
      const known = this.#claims.get(key)?.find((claim) => claim.owner.name === owner.name);
      // A Service that was made anew lost its age.
      const isAsOld = known?.owner.createdMs === owner.createdMs;
      if (!isAsOld || !same(before.get(key), value)) this.#settle(key, owner, value);
    }
  }

  takeFresh(): (readonly [string, V])[] {
    const fresh = [...this.#fresh].flatMap((key) => {
      const value = this.wanted.get(key);
      return value === undefined ? [] : [[key, value] as const];
    });
    this.#fresh.clear();
    return fresh;
  }

  takeGone(): (readonly [string, null])[] {
    const gone = [...this.#gone].map((key) => [key, null] as const);
    this.#gone.clear();
    return gone;
  }

  #settle(key: string, owner: Owner, value: V | undefined): void {
    const others = (this.#claims.get(key) ?? []).filter((claim) => claim.owner.name !== owner.name);
    const claims = value === undefined ? others : [...others, { owner, value }];
    if (claims.length === 0) this.#claims.delete(key);
    else this.#claims.set(key, claims);
    const winner = claims.reduce<Claim<V> | undefined>(
      (best, claim) => (best === undefined || isOlder(claim.owner, best.owner) ? claim : best),
      undefined,
    );
    const [now, before] =
      winner === undefined ? [this.#gone, this.#fresh] : [this.#fresh, this.#gone];
    if (winner === undefined) this.wanted.delete(key);
    else this.wanted.set(key, winner.value);
    before.delete(key);
    now.add(key);
  }
}

function isOlder(a: Owner, b: Owner): boolean {
  return a.createdMs === b.createdMs ? a.name < b.name : a.createdMs < b.createdMs;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
