// Runs the cases of a suite: a few at a time, again when one fails, and always with clean-up.

import type { Clock } from "../lib/clock/clock.ts";
import type { AddressFamily } from "../lib/ip/address.ts";
import type { AgentTransport } from "./agent-transport.ts";
import { type ConformanceCase, familiesOf, unmetNeed } from "./case.ts";
import type { CaseResult, Outcome, RunResult } from "./case-result.ts";
import { ClaimError, SkipError } from "./claim.ts";
import type { Cluster } from "./cluster/cluster.ts";
import type { ClusterFacts } from "./cluster-facts.ts";
import { Stage } from "./stage.ts";

export interface RunnerOptions {
  readonly suite: string;
  readonly cases: readonly ConformanceCase[];
  readonly cluster: Cluster;
  readonly transport: AgentTransport;
  readonly facts: ClusterFacts;
  readonly clock: Clock;
  /** For each claim to come true. */
  readonly limitMs: number;
  /** Attempts after a failed one. */
  readonly retries: number;
  /** Cases at a time; exclusive ones run alone all the same. */
  readonly parallel: number;
  /** Objects of a run that stay in the cluster, for a look at what failed. */
  readonly keep: boolean;
  /** Called once per case, as it ends. */
  readonly onResult: (result: CaseResult) => void;
}

/** One case in one family. */
interface Job {
  readonly index: number;
  readonly test: ConformanceCase;
  readonly family: AddressFamily;
  /** Why it cannot run here. */
  readonly unmet?: string;
}

/**
 * Runs all cases. When `signal` aborts, running ones are interrupted and cleaned up after.
 * @throws what the transport or the API server throws when the run as a whole cannot go on
 */
export async function runCases(options: RunnerOptions, signal: AbortSignal): Promise<RunResult> {
  const { clock, facts, suite } = options;
  const startMs = clock.monotonicMs();
  const startedAt = new Date(clock.wallMs()).toISOString();
  const jobs = planJobs(options);
  const results = new Map<number, CaseResult>();
  const work = async (job: Job): Promise<void> => {
    const result = await runJob(job, options, signal);
    results.set(job.index, result);
    options.onResult(result);
  };
  const alone = jobs.filter((job) => job.test.exclusive === true);
  const together = jobs.filter((job) => job.test.exclusive !== true);
  await runTogether(together, options.parallel, work);
  await runTogether(alone, 1, work);
  return {
    suite,
    startedAt,
    tookMs: Math.round(clock.monotonicMs() - startMs),
    nodes: facts.nodes.map((node) => node.name),
    ...(facts.proxyMode !== undefined && { proxyMode: facts.proxyMode }),
    cases: jobs.flatMap((job) => results.get(job.index) ?? []),
  };
}

function planJobs({ cases, facts }: RunnerOptions): readonly Job[] {
  const [primary = "ip"] = facts.families;
  const jobs = cases.flatMap((test): Omit<Job, "index">[] => {
    const families = familiesOf(test, facts.families);
    if (families.length === 0) {
      return [{ test, family: primary, unmet: "needs a dual-stack cluster: it has one family" }];
    }
    return families.map((family) => {
      const unmet = unmetNeed(test.needs, facts, family);
      return { test, family, ...(unmet !== undefined && { unmet }) };
    });
  });
  return jobs.map((job, index) => ({ ...job, index }));
}

async function runTogether(
  jobs: readonly Job[],
  parallel: number,
  work: (job: Job) => Promise<void>,
): Promise<void> {
  const queue = [...jobs];
  const worker = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await work(job);
  };
  const ends = await Promise.allSettled(Array.from({ length: parallel }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

async function runJob(job: Job, options: RunnerOptions, signal: AbortSignal): Promise<CaseResult> {
  const { clock } = options;
  const startMs = clock.monotonicMs();
  const end = (attempt: Attempt): CaseResult => ({
    suite: options.suite,
    id: job.test.id,
    name: job.test.name,
    family: job.family,
    tookMs: Math.round(clock.monotonicMs() - startMs),
    ...attempt,
  });
  if (job.unmet !== undefined) return end(without({ kind: "skipped", why: job.unmet }));
  const earlier: string[] = [];
  const leftovers: string[] = [];
  for (;;) {
    if (signal.aborted) return end({ ...without({ kind: "interrupted" }), leftovers });
    const attempt = await attemptCase(job, options, signal, earlier.length);
    leftovers.push(...attempt.leftovers);
    const { outcome } = attempt;
    if (outcome.kind === "failed" && earlier.length < options.retries && !signal.aborted) {
      earlier.push(outcome.why);
      continue;
    }
    return end({ ...attempt, leftovers, outcome: withEarlier(outcome, earlier) });
  }
}

type Attempt = Pick<CaseResult, "outcome" | "observations" | "leftovers">;

async function attemptCase(
  { test, family }: Job,
  options: RunnerOptions,
  signal: AbortSignal,
  attempt: number,
): Promise<Attempt> {
  let services = 0;
  const suffix = family === "ip" ? "v4" : "v6";
  const nextName = (): string => `${test.id}-${suffix}-${attempt}-${++services}`;
  const stage = new Stage({ ...options, family, signal, nextName });
  let outcome: Outcome;
  try {
    await test.run(stage);
    outcome = { kind: "passed" };
  } catch (error) {
    outcome = outcomeOf(error, signal);
  }
  if (!options.keep || signal.aborted) await stage[Symbol.asyncDispose]();
  return { outcome, observations: stage.observations, leftovers: stage.leftovers };
}

/** Anything but a skip fails the case alone: the next one may well succeed. */
function outcomeOf(error: unknown, signal: AbortSignal): Outcome {
  if (error instanceof SkipError) return { kind: "skipped", why: error.message };
  if (error instanceof ClaimError) return { kind: "failed", why: error.message, earlier: [] };
  if (signal.aborted) return { kind: "interrupted" };
  return { kind: "failed", why: String(error), earlier: [] };
}

function withEarlier(outcome: Outcome, earlier: readonly string[]): Outcome {
  if (outcome.kind === "failed") return { ...outcome, earlier };
  if (outcome.kind === "passed" && earlier.length > 0) return { kind: "flaky", earlier };
  return outcome;
}

function without(outcome: Outcome): Attempt {
  return { outcome, observations: [], leftovers: [] };
}
