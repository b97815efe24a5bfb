// The two things that are measured of an agent that programs the kernel: a cold start, and one
// endpoint that moves.

import { setTimeout as delay } from "node:timers/promises";
import type { LineCaller } from "../playground/line-calls.ts";
import type { PlaygroundNode } from "../playground/topology.ts";
import type { Agent, AgentProgram, KernelWork } from "./agents.ts";
import type { AnswerCalls } from "./answer-calls.ts";
import type { ChangingService } from "./changing-service.ts";
import { machineMs } from "./machine-clock.ts";
import { cpuMsOf, MemoryWatch, ownPssMiBOf, rssMiBOf } from "./process-cost.ts";
import type { Rig, Target } from "./rig.ts";
import { awaitNoListeners, someoneListens } from "./ruleset-listeners.ts";

const COLD_LIMIT_MS = 120_000;
const CHANGE_LIMIT_MS = 30_000;
/** Until whoever programmed the kernel has written down how long it took. */
const REPORT_MS = 500;
/** The probe has begun to call by then. */
const PROBE_START_MS = 30;

export interface ProgrammingStage {
  readonly rig: Rig;
  readonly node: PlaygroundNode;
  readonly probe: LineCaller<AnswerCalls>;
  /** All of them must answer. */
  readonly targets: readonly Target[];
  readonly changing: ChangingService;
  /** Called when a cold start may have taken longer than by itself. */
  readonly onDisturbed: () => void;
}

export interface ColdStart {
  /** Still running. */
  readonly agent: Agent;
  /** From the start of the process until every target has answered. */
  readonly durationMs: number;
  /** Until then. */
  readonly kernel: KernelWork;
  /** Until it rested. */
  readonly cpuMs: number;
  /** At most until it rested, with what it started. */
  readonly peakMiB: number;
}

/** Starts an agent on a node without rules. */
export async function measureColdStart(
  { rig, node, probe, targets, onDisturbed }: ProgrammingStage,
  program: AgentProgram,
  withTrace = false,
): Promise<ColdStart> {
  await rig.wipe(node);
  const disturbedBefore = await awaitNoListeners();
  const answers = probe.call("all", { targets, limitMs: COLD_LIMIT_MS });
  const agent = await program.start(rig, node, withTrace);
  using memory = new MemoryWatch(agent.pid);
  const { atMs } = await agent.whileRunning(answers);
  if (disturbedBefore || someoneListens()) onDisturbed();
  await delay(REPORT_MS);
  const kernel = await agent.kernelWork();
  await agent.settle();
  return {
    agent,
    durationMs: atMs - agent.startedMs,
    kernel,
    cpuMs: cpuMsOf(agent.pid),
    peakMiB: memory.peakMiB,
  };
}

export interface ChangePace {
  readonly changes: number;
  /** From the answer of one to the next; up to a tenth more, by chance. */
  readonly pauseMs: number;
}

export interface Changes {
  /** From sending the write to the API server until the new endpoint answered. */
  readonly durationsMs: readonly number[];
  /** Of each, on average. */
  readonly cpuMs: number;
  readonly sentBytes: number;
}

/** Moves the endpoint again and again. */
export async function measureChanges(
  { probe, changing }: ProgrammingStage,
  agent: Agent,
  { changes, pauseMs }: ChangePace,
): Promise<Changes> {
  const before = { cpuMs: cpuMsOf(agent.pid), kernel: await agent.kernelWork() };
  const durationsMs: number[] = [];
  for (let i = 0; i < changes; i++) {
    const backend = changing.nextBackend();
    const { target } = changing;
    const served = probe.call("from", { target, backend, limitMs: CHANGE_LIMIT_MS });
    await delay(PROBE_START_MS * (1 + Math.random()));
    const startMs = machineMs();
    await changing.moveTo(backend);
    const { atMs } = await agent.whileRunning(served);
    durationsMs.push(atMs - startMs);
    await delay(pauseMs * (1 + Math.random() / 10));
  }
  const after = await agent.kernelWork();
  return {
    durationsMs,
    cpuMs: (cpuMsOf(agent.pid) - before.cpuMs) / changes,
    sentBytes: (after.sentBytes - before.kernel.sentBytes) / changes,
  };
}

export interface Memory {
  readonly rssMiB: number;
  readonly pssMiB: number;
}

/** Of an agent that rests. */
export async function measureMemory(agent: Agent): Promise<Memory> {
  await agent.settle();
  return { rssMiB: rssMiBOf(agent.pid), pssMiB: ownPssMiBOf(agent.pid) };
}
