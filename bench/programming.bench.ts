// How fast the kernel follows the cluster: `innermesh node` and the real kube-proxy, one after the
// other on the same node, under the same API server with the same Services.

import { fileURLToPath } from "node:url";
import { LineCaller } from "../playground/line-calls.ts";
import type { BenchContext, BenchResult, BenchRow } from "../scripts/bench-report.ts";
import { type AgentProgram, findKubeProxy, innermesh } from "./agents.ts";
import type { AnswerCalls } from "./answer-calls.ts";
import { makeChangingService } from "./changing-service.ts";
import { growthOf, judgeProgramming, METRICS, sizeCase } from "./programming-report.ts";
import {
  type ChangePace,
  type ColdStart,
  measureChanges,
  measureColdStart,
  measureMemory,
  type ProgrammingStage,
} from "./programming-stage.ts";
import { type Rig, startRig } from "./rig.ts";
import { median, percentile } from "./statistics.ts";

export const name = "programming";

const SIZES = [1_000, 5_000, 10_000] as const;

/** kube-proxy takes seconds for a change: few of them, at its own pace. */
interface Pace extends ChangePace {
  readonly coldStarts: number;
  /** How many changes the bytes are counted over, in a run of its own; 0: in the same run. */
  readonly tracedChanges: number;
}
const OUR_PACE: Pace = { coldStarts: 3, changes: 100, pauseMs: 100, tracedChanges: 0 };
/** The pause is longer than its least time between two syncs, 1 s. */
const PEER_PACE: Pace = { coldStarts: 1, changes: 12, pauseMs: 1_200, tracedChanges: 3 };

const NOTES = [
  `\`innermesh node\` and the real kube-proxy (nftables mode, its defaults), one after the other on
the same node under the same API server. A cold start lasts from the start of the process, on a node
without rules, until Services at the beginning, in the middle and at the end of the list have all
answered a TCP connection from a pod; of ${OUR_PACE.coldStarts} starts of ours the median, of
kube-proxy one. "In the kernel" is the time of our commits, and the time that kube-proxy's \`nft\`
ran: that program is its way into the kernel.`,
  `One endpoint: the only endpoint of one Service moves. The time runs from sending the write to the
API server until a connection is answered by the new endpoint; ${OUR_PACE.changes} moves of ours,
${PEER_PACE.changes} of kube-proxy's. kube-proxy's bytes are counted with strace in a run of their
own. CPU includes the children that a process has waited for.`,
];

export async function run({ print, signal }: BenchContext): Promise<BenchResult> {
  const kubeProxy = await findKubeProxy();
  await using rig = await startRig(1);
  await using probe = openAnswerProbe(rig);
  const changing = await makeChangingService(rig);
  const rows: BenchRow[] = [];
  const disturbed = new Set<string>();
  for (const services of SIZES) {
    const what = sizeCase(services);
    print(`filling up to ${what}`);
    const targets = [...(await rig.fillTo(services)), changing.target];
    const stage = { rig, node: rig.playground.node(1), probe, targets, changing };
    for (const [program, pace] of [
      [innermesh, OUR_PACE],
      [kubeProxy, PEER_PACE],
    ] as const) {
      signal.throwIfAborted();
      const subject = `${program.subject} with ${what}`;
      print(subject);
      const onDisturbed = (): void => {
        print("somebody listens for changes of rulesets: commits are slower");
        disturbed.add(subject);
      };
      const values = await measure({ ...stage, onDisturbed }, program, pace);
      for (const { metric, unit } of METRICS) {
        const value = values[metric];
        rows.push({ case: what, subject: program.subject, metric, unit, value });
      }
    }
  }
  const sizes = { smallest: SIZES[0], greatest: SIZES[2] };
  const budgets = judgeProgramming(rows, SIZES[2], kubeProxy.subject);
  const notes = [...NOTES, ...[...disturbed].map(disturbance)];
  return { rows: [...rows, ...growthOf(rows, sizes)], budgets, notes };
}

function disturbance(subject: string): string {
  return `Disturbed: while ${subject} was measured, another program of this machine listened for
changes of rulesets, which makes every commit slower.`;
}

type Values = Readonly<Record<(typeof METRICS)[number]["metric"], number>>;

async function measure(
  stage: ProgrammingStage,
  program: AgentProgram,
  pace: Pace,
): Promise<Values> {
  let last = await measureColdStart(stage, program);
  const starts: ColdStart[] = [last];
  while (starts.length < pace.coldStarts) {
    await last.agent.stop();
    last = await measureColdStart(stage, program);
    starts.push(last);
  }
  const { agent } = last;
  const changes = await measureChanges(stage, agent, pace);
  const memory = await measureMemory(agent);
  await agent.stop();
  const sent =
    pace.tracedChanges === 0
      ? { coldBytes: last.kernel.sentBytes, changeBytes: changes.sentBytes }
      : await traceSent(stage, program, pace);
  return {
    "cold start": median(starts.map(({ durationMs }) => durationMs)),
    "cold start, in the kernel": median(starts.map(({ kernel }) => kernel.ms)),
    "cold start, CPU": median(starts.map(({ cpuMs }) => cpuMs)),
    "cold start, sent to the kernel": sent.coldBytes / 1_000,
    "one endpoint, p50": median(changes.durationsMs),
    "one endpoint, p99": percentile(changes.durationsMs, 0.99),
    "one endpoint, CPU": changes.cpuMs,
    "one endpoint, sent to the kernel": sent.changeBytes / 1_000,
    "memory at rest, RSS": memory.rssMiB,
    "memory at rest, PSS": memory.pssMiB,
    "memory at most, RSS with children": Math.max(...starts.map(({ peakMiB }) => peakMiB)),
  };
}

/** Counts bytes in a run of its own, which nothing else is measured of. */
async function traceSent(
  stage: ProgrammingStage,
  program: AgentProgram,
  { tracedChanges: changes, pauseMs }: Pace,
): Promise<{ readonly coldBytes: number; readonly changeBytes: number }> {
  const { agent, kernel } = await measureColdStart(stage, program, true);
  const { sentBytes } = await measureChanges(stage, agent, { changes, pauseMs });
  await agent.stop();
  return { coldBytes: kernel.sentBytes, changeBytes: sentBytes };
}

function openAnswerProbe(rig: Rig): LineCaller<AnswerCalls> {
  const program = fileURLToPath(new URL("./answer-program.ts", import.meta.url));
  const { netns } = rig.clientPod(rig.playground.node(1));
  return new LineCaller(rig.playground.spawn(netns, [process.execPath, program]));
}
