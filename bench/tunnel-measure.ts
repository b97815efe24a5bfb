// Cases of tunnels, measured: every subject of a case in turn, round after round, so that what else
// the machine does hits all of them.

import assert from "node:assert/strict";
import type { BenchContext } from "../scripts/bench-report.ts";
import { cpuMsOf, rssMiBOf } from "./process-cost.ts";
import { type Load, type LoadPlan, runLoad } from "./proxy-load.ts";
import type { Target } from "./rig.ts";
import { openConnections } from "./tunnel-connections.ts";
import type { Stream } from "./tunnel-stream-program.ts";
import { benchProgram, type TunnelStage } from "./tunnel-stage.ts";
import { type Door, type Side, SIDES, type TunnelSubject } from "./tunnel-subject.ts";
import { inTurns } from "./turns.ts";

const SLICE_SECONDS = 2;
const WARM_UP_SECONDS = 1;
/** Sessions of the cold case: one for each pair of pods. */
const SESSIONS = 1_000;
const SESSIONS_AT_ONCE = 32;
/** A tunnel that took less of a processor is not what carried it. */
const BUSY_SHARE = 0.02;

export type TunnelPlan =
  | Extract<LoadPlan, { kind: "wrk" }>
  /** One stream, to the server or from it. */
  | { readonly kind: "up" | "down" }
  /** A thousand connections, a session for each, held. */
  | { readonly kind: "sessions" };

/** At most so many times what the peer costs, in processor time per unit, on each side. */
export interface TunnelLimit {
  readonly peer: TunnelSubject["key"];
  readonly atMost: number;
}

export interface TunnelCase {
  readonly title: string;
  readonly door: Door;
  readonly plan: TunnelPlan;
  readonly unit: "request" | "connection" | "session" | "GB";
  /** For us. With limits, each subject runs three times, else once. */
  readonly limits: readonly TunnelLimit[];
}

/** One subject in one slice. */
export interface TunnelCost {
  /** Of what the case counts. */
  readonly units: number;
  readonly seconds: number;
  readonly latency: Pick<Load, "p50Us" | "p99Us"> | undefined;
  readonly cpuMs: Readonly<Record<Side, number>>;
  /** At the end, and how much more than before. */
  readonly rssMiB: Readonly<Record<Side, number>>;
  readonly addedMiB: Readonly<Record<Side, number>>;
}

/** The costs of a subject in a case, one for each round. */
export interface TunnelMeasurement {
  readonly what: TunnelCase;
  readonly subject: TunnelSubject;
  readonly costs: readonly TunnelCost[];
}

export async function measureTunnels(
  stage: TunnelStage,
  setting: { readonly cases: readonly TunnelCase[]; readonly subjects: readonly TunnelSubject[] },
  { print, signal }: BenchContext,
): Promise<readonly TunnelMeasurement[]> {
  const measurements: TunnelMeasurement[] = [];
  for (const what of setting.cases) {
    const subjects = setting.subjects.filter(({ pids }) => pids !== undefined || isFree(what));
    const rounds = what.limits.length > 0 ? 3 : 1;
    print(`${what.title}: ${subjects.length} subjects, ${rounds === 1 ? "once" : "3 rounds"}`);
    const take = (subject: TunnelSubject, round: number): Promise<TunnelCost> =>
      measure(stage, what, { subject, warmsUp: round === 0 });
    for (const [subject, costs] of await inTurns(subjects, rounds, take, signal)) {
      measurements.push({ what, subject, costs });
    }
  }
  return measurements;
}

/** Means something without a tunnel. */
function isFree({ plan }: TunnelCase): boolean {
  return plan.kind !== "sessions";
}

async function measure(
  stage: TunnelStage,
  what: TunnelCase,
  { subject, warmsUp }: { readonly subject: TunnelSubject; readonly warmsUp: boolean },
): Promise<TunnelCost> {
  const { pids } = subject;
  const targets = subject.doors[what.door];
  if (warmsUp && isFree(what)) await run(stage, what, { targets, seconds: WARM_UP_SECONDS });
  const before = usageOf(pids);
  let after = before;
  const took = await run(stage, what, {
    targets,
    seconds: SLICE_SECONDS,
    onLast: () => {
      after = usageOf(pids);
    },
  });
  const cpuMs = bySide((side) => after[side].cpuMs - before[side].cpuMs);
  for (const side of SIDES) {
    const isBusy = pids === undefined || cpuMs[side] >= BUSY_SHARE * 1_000 * took.seconds;
    assert(isBusy, `${subject.subject} had no part in it: ${cpuMs[side]} ms`);
  }
  return {
    ...took,
    cpuMs,
    rssMiB: bySide((side) => after[side].rssMiB),
    addedMiB: bySide((side) => after[side].rssMiB - before[side].rssMiB),
  };
}

interface Slice {
  readonly targets: readonly Target[];
  readonly seconds: number;
  /** While what was opened last is still open, where that is so. */
  readonly onLast?: () => void;
}

type Took = Pick<TunnelCost, "units" | "seconds" | "latency">;

async function run(stage: TunnelStage, what: TunnelCase, slice: Slice): Promise<Took> {
  const { plan } = what;
  const { targets, seconds, onLast = () => {} } = slice;
  const [target] = targets;
  assert(target !== undefined);
  if (plan.kind === "sessions") {
    const sources = stage.pods.client;
    const many = { sources, targets, count: SESSIONS, atOnce: SESSIONS_AT_ONCE };
    const opened = await openConnections(stage, many, onLast);
    return { units: SESSIONS, seconds: opened.seconds, latency: opened };
  }
  if (plan.kind !== "wrk") {
    const words = [plan.kind, target.address, String(target.port), String(seconds)];
    const stdout = await stage.runClient([...benchProgram("tunnel-stream-program.ts"), ...words]);
    onLast();
    const stream = JSON.parse(stdout) as Stream;
    return { units: stream.bytes / 1e9, seconds: stream.seconds, latency: undefined };
  }
  const load = await runLoad(stage, plan, { target, seconds });
  onLast();
  return { units: load.completed, seconds: load.seconds, latency: load };
}

type Usage = Readonly<Record<Side, { readonly cpuMs: number; readonly rssMiB: number }>>;

function usageOf(pids: TunnelSubject["pids"]): Usage {
  return bySide((side) => {
    if (pids === undefined) return { cpuMs: 0, rssMiB: 0 };
    return { cpuMs: cpuMsOf(pids[side]), rssMiB: rssMiBOf(pids[side]) };
  });
}

function bySide<T>(valueOf: (side: Side) => T): Readonly<Record<Side, T>> {
  return { client: valueOf("client"), server: valueOf("server") };
}
