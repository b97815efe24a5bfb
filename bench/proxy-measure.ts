// Cases of a proxy bench, measured: every subject of a case in turn, round after round, so that
// what else the machine does hits all of them.

import assert from "node:assert/strict";
import type { BenchContext } from "../scripts/bench-report.ts";
import { cpuMsOf, MemoryWatch, processTree, rssMiBOf } from "./process-cost.ts";
import { type Load, type LoadPlan, runLoad } from "./proxy-load.ts";
import type { ProxyStage } from "./proxy-stage.ts";
import type { ProxyService, ProxySubject } from "./proxy-subject.ts";
import { inTurns } from "./turns.ts";

/** Long enough for some hundred ticks of the clock that counts processor time. */
const SLICE_SECONDS = 2;
/** Pools fill, code is compiled. */
const WARM_UP_SECONDS = 1;
/** A proxy that is idler than this is not what answered. */
const BUSY_SHARE = 0.05;

/** At most so many times what the peer costs, in processor time per unit. */
export interface ProxyLimit {
  readonly peer: ProxySubject["key"];
  readonly atMost: number;
}

export interface ProxyCase {
  readonly title: string;
  readonly service: ProxyService;
  readonly plan: LoadPlan;
  /** What is counted: answers by what one of them is called, or the bytes of the answers. */
  readonly unit: "request" | "connection" | "message" | "GB";
  /** For us. With limits, each subject runs three times, else once. */
  readonly limits: readonly ProxyLimit[];
}

/** One subject in one slice. */
export interface ProxyCost {
  readonly load: Load;
  /** Completed, of what the case counts. */
  readonly units: number;
  /** Of all its processes. */
  readonly cpuMs: number;
  /** Of that, of the process that started the others. */
  readonly parentCpuMs: number;
  /** How many there are beside it. */
  readonly children: number;
  /** Resident, all processes together: before the first slice, and at most while slices ran. */
  readonly rssBeforeMiB: number;
  readonly rssMiB: number;
}

/** The costs of a subject in a case, one for each round. */
export interface ProxyMeasurement {
  readonly what: ProxyCase;
  readonly subject: ProxySubject;
  readonly costs: readonly ProxyCost[];
}

export async function measureCases(
  stage: ProxyStage,
  setting: { readonly cases: readonly ProxyCase[]; readonly subjects: readonly ProxySubject[] },
  { print, signal }: BenchContext,
): Promise<readonly ProxyMeasurement[]> {
  const measurements: ProxyMeasurement[] = [];
  for (const what of setting.cases) {
    const subjects = setting.subjects.filter((one) => one.target(what.service) !== undefined);
    const rounds = what.limits.length > 0 ? 3 : 1;
    print(`${what.title}: ${subjects.length} subjects, ${rounds === 1 ? "once" : "3 rounds"}`);
    const take = (subject: ProxySubject, round: number): Promise<ProxyCost> =>
      measure(stage, what, { subject, warmsUp: round === 0 });
    for (const [subject, costs] of await inTurns(subjects, rounds, take, signal)) {
      measurements.push({ what, subject, costs });
    }
  }
  return measurements;
}

async function measure(
  stage: ProxyStage,
  { service, plan, unit }: ProxyCase,
  { subject, warmsUp }: { readonly subject: ProxySubject; readonly warmsUp: boolean },
): Promise<ProxyCost> {
  const { pid } = subject;
  const target = subject.target(service);
  assert(target !== undefined);
  const { rssMiB: rssBeforeMiB } = usageOf(pid);
  if (warmsUp) await runLoad(stage, plan, { target, seconds: WARM_UP_SECONDS });
  using memory = pid === undefined ? undefined : new MemoryWatch(pid);
  const before = usageOf(pid);
  const load = await runLoad(stage, plan, { target, seconds: SLICE_SECONDS });
  const after = usageOf(pid);
  const cpuMs = after.cpuMs - before.cpuMs;
  const isBusy = cpuMs >= BUSY_SHARE * 1_000 * SLICE_SECONDS;
  assert(pid === undefined || isBusy, `${subject.subject} had no part in it: ${cpuMs} ms`);
  return {
    load,
    units: unit === "GB" ? load.bytes / 1e9 : load.completed,
    cpuMs,
    parentCpuMs: after.parentCpuMs - before.parentCpuMs,
    children: after.children,
    rssBeforeMiB,
    rssMiB: memory?.peakMiB ?? 0,
  };
}

interface Usage {
  readonly cpuMs: number;
  readonly parentCpuMs: number;
  readonly children: number;
  readonly rssMiB: number;
}

/** Of a process and all it has started. */
function usageOf(pid: number | undefined): Usage {
  if (pid === undefined) return { cpuMs: 0, parentCpuMs: 0, children: 0, rssMiB: 0 };
  const pids = processTree(pid);
  const sum = (read: (pid: number) => number): number =>
    pids.reduce((total, one) => total + read(one), 0);
  return {
    cpuMs: sum(cpuMsOf),
    parentCpuMs: cpuMsOf(pid),
    children: pids.length - 1,
    rssMiB: sum(rssMiBOf),
  };
}
