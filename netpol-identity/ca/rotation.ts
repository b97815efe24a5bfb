// The life of an authority's roots. A new signer comes in three steps, so that at every moment all
// agents trust whatever any agent presents (fault F41):
//   add     its roots join the bundle; the old signer still signs
//   switch  it signs; nobody signs with the old one any more
//   remove  the old roots leave the bundle, when the last leaf below them has expired
// One call plans one step. The state that it returns is written first and used then, so a crash
// repeats a step or does not, and both are right.

import { decodeCertificate } from "../../lib/x509/decoded-certificate.ts";
import { decodePem } from "../../lib/x509/pem.ts";
import { LEAF_LIFETIME } from "./authority.ts";
import type { AuthorityMaterial } from "./root-material.ts";
import type { AuthorityRoot, AuthorityState, StateMaterial } from "./rotation-state.ts";

export interface RotationTimings {
  /** How long until every agent has a bundle that was published. @default 5 minutes */
  readonly spreadMs: number;
  /** What leaves get from now on, at most. */
  readonly leafLifetimeMs: number;
  /** How long before its end a root of our own is replaced. @default 1 year */
  readonly renewBeforeMs: number;
}

export const DEFAULT_ROTATION_TIMINGS: RotationTimings = {
  spreadMs: 5 * 60_000,
  leafLifetimeMs: LEAF_LIFETIME.defaultMs,
  renewBeforeMs: 365 * 24 * 3_600_000,
};

/** What should sign. */
export type WantedSigner =
  | {
      /** A root of our own; a higher generation than before asks for a new one. */
      readonly kind: "own";
      readonly generation: number;
      readonly make: () => AuthorityMaterial;
    }
  /** What a user supplied, as `readMaterial` returns it. */
  | { readonly kind: "supplied"; readonly material: AuthorityMaterial };

export interface RotationOptions extends RotationTimings {
  readonly nowMs: number;
  readonly wanted: WantedSigner;
}

export interface RotationPlan {
  /** To be written before it is used, if it is not the one that was given. */
  readonly state: AuthorityState;
  readonly step: "none" | "add" | "switch" | "remove";
  /** For people. */
  readonly why: string;
  /** When there may be something to do; infinite when only a wish can change anything. */
  readonly nextMs: number;
}

/** The first step that is due. Call again with what it returns until the step is "none". */
export function planRotation(given: AuthorityState, options: RotationOptions): RotationPlan {
  const { nowMs, leafLifetimeMs } = options;
  const state =
    leafLifetimeMs > given.leafLifetimeMs
      ? { ...given, version: given.version + 1, leafLifetimeMs }
      : given;
  const target = targetOf(state, options);
  if (target !== state.active && target !== state.next) {
    return step("add", withNext(state, target, nowMs), "the bundle gains the next signer's roots");
  }
  if (target === state.active && state.next !== undefined) {
    const kept = withoutNext(state, nowMs);
    return step("remove", kept, "the next signer is no longer wanted");
  }
  const switchMs = switchTime(state, options);
  if (state.next !== undefined && nowMs >= switchMs) {
    return step("switch", switched(state, state.next, options), "every agent trusts its roots");
  }
  const roots = state.roots.filter((root) => removalMs(root, state) > nowMs);
  if (roots.length < state.roots.length) {
    return step("remove", { ...state, roots }, "the last leaf below the old roots has expired");
  }
  return { state, step: "none", ...waiting(state, options, switchMs) };

  function step(name: RotationPlan["step"], changed: AuthorityState, why: string): RotationPlan {
    return { state: { ...changed, version: given.version + 1 }, step: name, why, nextMs: nowMs };
  }
}

/** What should sign in the end: what is active or next, where one of them will do. */
function targetOf(state: AuthorityState, options: RotationOptions): StateMaterial {
  const { wanted, nowMs, renewBeforeMs } = options;
  const { active, next } = state;
  if (wanted.kind === "supplied") {
    const { material } = wanted;
    return [active, next].find((known) => known && isSame(known, material)) ?? material;
  }
  const fulfils = ({ generation }: StateMaterial): boolean =>
    generation !== undefined && generation >= wanted.generation;
  if (fulfils(active) && nowMs < endMsOf(active) - renewBeforeMs) return active;
  if (next !== undefined && fulfils(next)) return next;
  return { ...wanted.make(), generation: wanted.generation };
}

function isSame(a: AuthorityMaterial, b: AuthorityMaterial): boolean {
  return (
    a.certificate === b.certificate && a.key === b.key && a.roots.join("") === b.roots.join("")
  );
}

function withNext(given: AuthorityState, next: StateMaterial, nowMs: number): AuthorityState {
  const state = withoutNext(given, nowMs);
  const known = state.roots.map(({ pem }) => pem);
  const added = next.roots.filter((pem) => !known.includes(pem));
  const roots = [...state.roots, ...added.map((pem) => ({ pem, addedMs: nowMs }))];
  return { ...state, next, roots };
}

/** Nothing was signed by a next signer that never came to sign. */
function withoutNext(state: AuthorityState, nowMs: number): AuthorityState {
  const { version, trustDomain, active, leafLifetimeMs } = state;
  const roots = retire(state.roots, state.next, nowMs);
  return { version, trustDomain, active, leafLifetimeMs, roots };
}

function switched(
  { version, trustDomain, active: former, leafLifetimeMs, roots }: AuthorityState,
  active: StateMaterial,
  timings: RotationOptions,
): AuthorityState {
  // The spread again: another replica may sign with the old key until it has read the new state.
  const retiredMs = timings.nowMs + leafLifetimeMs + timings.spreadMs;
  return {
    version,
    trustDomain,
    active,
    leafLifetimeMs: timings.leafLifetimeMs,
    roots: retire(roots, former, retiredMs),
  };
}

/** Notes when the leaves of a former signer end. An earlier one may have left longer ones. */
function retire(
  roots: readonly AuthorityRoot[],
  former: AuthorityMaterial | undefined,
  retiredMs: number,
): readonly AuthorityRoot[] {
  return roots.map((root) =>
    former?.roots.includes(root.pem) === true
      ? { ...root, retiredMs: Math.max(root.retiredMs ?? 0, retiredMs) }
      : root,
  );
}

/** When a root may go: never while what signs, or will, needs it. */
function removalMs({ pem, retiredMs }: AuthorityRoot, { active, next }: AuthorityState): number {
  const isNeeded = active.roots.includes(pem) || next?.roots.includes(pem) === true;
  return isNeeded ? Number.POSITIVE_INFINITY : (retiredMs ?? Number.POSITIVE_INFINITY);
}

/** When the next signer may sign. If the active one expires first, waiting would help nobody. */
function switchTime(state: AuthorityState, options: RotationOptions): number {
  if (state.next === undefined) return Number.POSITIVE_INFINITY;
  const { roots: needed } = state.next;
  const added = state.roots.filter(({ pem }) => needed.includes(pem)).map((root) => root.addedMs);
  return Math.min(Math.max(...added) + options.spreadMs, endMsOf(state.active));
}

function waiting(
  state: AuthorityState,
  { wanted, renewBeforeMs }: RotationOptions,
  switchMs: number,
): Pick<RotationPlan, "why" | "nextMs"> {
  const { active, next, roots } = state;
  const nextRemovalMs = Math.min(...roots.map((root) => removalMs(root, state)));
  const renewalMs =
    wanted.kind === "own" && next === undefined
      ? endMsOf(active) - renewBeforeMs
      : Number.POSITIVE_INFINITY;
  const nextMs = Math.min(switchMs, nextRemovalMs, renewalMs);
  if (next !== undefined) return { why: "agents are learning the next signer's roots", nextMs };
  const isRemoving = nextRemovalMs < Number.POSITIVE_INFINITY;
  const why = isRemoving ? "leaves below old roots are still valid" : "the wanted signer is active";
  return { why, nextMs };
}

/** The first end among a signer's certificates; long ago if one of them cannot be read. */
function endMsOf({ certificate }: AuthorityMaterial): number {
  const ends = decodePem(certificate).map((der) => decodeCertificate(der)?.notAfterMs ?? 0);
  return ends.length === 0 ? 0 : Math.min(...ends);
}
