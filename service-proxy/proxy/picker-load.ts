// Choosing one of several usable endpoints by load, turn or chance. Endpoints that start slowly get
// a share that grows with their weight.

import type { Balancing } from "../model/proxy-plan.ts";
import type { EndpointState } from "./picker-endpoint.ts";

/**
 * Chooses one of `candidates`, undefined only when there are none.
 * @param random in [0, 1)
 */
export type LoadPicker = (
  candidates: readonly EndpointState[],
  nowMs: number,
  random: () => number,
) => EndpointState | undefined;

/** The algorithms that need no key; those that hash fall back to chance here. */
export function makeLoadPicker(algorithm: Balancing["algorithm"]): LoadPicker {
  switch (algorithm) {
    case "peak-ewma":
      return (candidates, nowMs, random) => better(candidates, expectedWait, nowMs, random);
    case "least-request":
      return (candidates, nowMs, random) => better(candidates, load, nowMs, random);
    case "round-robin":
      return makeRoundRobin();
    case "random":
    case "ring-hash":
    case "maglev":
      return (candidates, nowMs, random) => {
        const first = drawn(candidates, random);
        return first === undefined || accepts(first, nowMs, random)
          ? first
          : drawn(candidates, random);
      };
    default:
      return algorithm satisfies never;
  }
}

function expectedWait(state: EndpointState, nowMs: number): number {
  return state.expectedWaitMs(nowMs);
}

function load(state: EndpointState): number {
  return state.inFlight;
}

/**
 * A share of the choices goes to the worse of the two. Otherwise nobody would ever look again at
 * the one that is worst: not after it recovered, nor often enough to find out that it is dead.
 */
const EXPLORED_SHARE = 1 / 32;

/** Power of two choices: the better of two drawn ones, without the herd that the best draws. */
function better(
  candidates: readonly EndpointState[],
  cost: (state: EndpointState, nowMs: number) => number,
  nowMs: number,
  random: () => number,
): EndpointState | undefined {
  const count = candidates.length;
  if (count < 2) return candidates[0];
  const first = Math.floor(random() * count);
  // Of the others, so that two different ones are compared.
  const next = (first + 1 + Math.floor(random() * (count - 1))) % count;
  const [one, other] = [candidates[first], candidates[next]];
  if (one === undefined || other === undefined) return one ?? other;
  const isExploring = random() < EXPLORED_SHARE;
  const isBetter = cost(other, nowMs) < cost(one, nowMs);
  const [best, second] = isBetter === isExploring ? [one, other] : [other, one];
  return accepts(best, nowMs, random) ? best : second;
}

function drawn(
  candidates: readonly EndpointState[],
  random: () => number,
): EndpointState | undefined {
  return candidates[Math.floor(random() * candidates.length)];
}

/** By weight; asks for no chance where there is no slow start. */
function accepts(state: EndpointState, nowMs: number, random: () => number): boolean {
  const weight = state.weight(nowMs);
  return weight >= 1 || random() < weight;
}

/** Begins anywhere: workers and nodes that began together would march in step. */
function makeRoundRobin(): LoadPicker {
  let turn: number | undefined;
  return (candidates, nowMs, random) => {
    const count = candidates.length;
    turn = turn === undefined ? Math.floor(random() * count) : (turn + 1) % Math.max(1, count);
    const state = candidates[turn];
    if (state === undefined || accepts(state, nowMs, random)) return state;
    turn = (turn + 1) % count;
    return candidates[turn];
  };
}
