// What a node pays while nothing happens: memory and processor of everything the agent runs, with
// a hundred Services, beside the real kube-proxy.

import { setTimeout as delay } from "node:timers/promises";
import type { BenchContext, BenchResult, BenchRow } from "../scripts/bench-report.ts";
import { type AgentProgram, findKubeProxy, innermesh } from "./agents.ts";
import { atMost } from "./programming-report.ts";
import { cpuMsOf, ownPssMiBOf, processTree, rssMiBOf } from "./process-cost.ts";
import { type Rig, startRig } from "./rig.ts";

export const name = "idle";

const SERVICES = 100;
const CASE = `idle, ${SERVICES} Services × 10`;
/** What a start leaves to do is done by then; V8 collects its garbage for half a minute. */
const SETTLE_MS = 30_000;
const WATCH_MS = 20_000;
const PSS_LIMIT_MIB = 120;
/** In percent of one processor; "about none". */
const CPU_LIMIT = 0.5;

const NOTES = [
  `One agent at rest on a node with ${SERVICES} Services of ten endpoints, half a minute after its
start. PSS counts the program's own file whole, as if no other process ran the same Node.`,
];

export async function run({ print, signal }: BenchContext): Promise<BenchResult> {
  const kubeProxy = await findKubeProxy();
  await using rig = await startRig(1);
  await rig.fillTo(SERVICES);
  const costs: Cost[] = [];
  for (const program of [innermesh, kubeProxy]) {
    signal.throwIfAborted();
    print(`${program.subject} at rest`);
    costs.push(await measure(rig, program));
  }
  const [ours] = costs;
  return {
    notes: NOTES,
    rows: costs.flatMap(rowsOf),
    budgets: [
      atMost(`${CASE}: PSS of all processes, MiB`, PSS_LIMIT_MIB, ours?.pssMiB ?? Number.NaN),
      atMost(`${CASE}: CPU, % of one processor`, CPU_LIMIT, ours?.cpuPercent ?? Number.NaN),
    ],
  };
}

/** Of all processes of one program. */
interface Cost {
  readonly subject: string;
  readonly rssMiB: number;
  readonly pssMiB: number;
  readonly cpuPercent: number;
}

async function measure(rig: Rig, program: AgentProgram): Promise<Cost> {
  const node = rig.playground.node(1);
  await rig.wipe(node);
  const agent = await program.start(rig, node);
  await agent.settle();
  await delay(SETTLE_MS);
  const pids = processTree(agent.pid);
  const sum = (read: (pid: number) => number): number =>
    pids.reduce((total, pid) => total + read(pid), 0);
  const beforeMs = sum(cpuMsOf);
  await delay(WATCH_MS);
  const cost = {
    subject: program.subject,
    rssMiB: sum(rssMiBOf),
    pssMiB: sum(ownPssMiBOf),
    cpuPercent: (100 * (sum(cpuMsOf) - beforeMs)) / WATCH_MS,
  };
  await agent.stop();
  return cost;
}

function rowsOf({ subject, rssMiB, pssMiB, cpuPercent }: Cost): BenchRow[] {
  return [
    { case: CASE, subject, metric: "memory, RSS", unit: "MiB", value: rssMiB },
    { case: CASE, subject, metric: "memory, PSS", unit: "MiB", value: pssMiB },
    { case: CASE, subject, metric: "CPU", unit: "%", value: cpuPercent },
  ];
}
