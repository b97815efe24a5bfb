// What a new flow through a ClusterIP costs, with one, a thousand and ten thousand Services: no
// translation at all, one rule, our table, and the real kube-proxy's, in one run.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { LineCaller } from "../playground/line-calls.ts";
import type { PlaygroundNode } from "../playground/topology.ts";
import type { BenchBudget, BenchContext, BenchResult, BenchRow } from "../scripts/bench-report.ts";
import { createService } from "../test/cluster/cluster-objects.ts";
import { TARGET_PORT } from "../test/cluster/load-slices.ts";
import { type AgentProgram, findKubeProxy, innermesh } from "./agents.ts";
import type { AnswerCalls } from "./answer-calls.ts";
import {
  type FlowCost,
  type FlowMeter,
  installOneRule,
  openFlowMeter,
  UDP_PORT,
} from "./flow-stage.ts";
import { backend, type Rig, startRig, type Target } from "./rig.ts";
import { median, percentile } from "./statistics.ts";
import { inTurns } from "./turns.ts";

export const name = "connections";

const SIZES = [1, 1_000, 10_000] as const;
const ROUNDS = 15;
const ANSWER_LIMIT_MS = 120_000;
const NO_NAT = "no NAT";
const ONE_RULE = "one DNAT rule";
/** A new flow may cost so much more than with kube-proxy: the price of shared maps. */
const PRICE_LIMIT_US = 0.3;

const NOTES = [
  `Four nodes lead the same flows to the same ten endpoints: without translation, with one rule,
with our table, and with the real kube-proxy's. CPU is the processor time of the sender, on which
the kernel does all the work up to the endpoint's namespace: per datagram with a source port never
seen, per datagram of one flow, and per SYN with its answer and the RST that ends it. ${ROUNDS}
rounds, in which the four take turns; medians. The budget compares round by round.`,
  `Connects are real TCP connections, opened one after the other from JavaScript and reset; their
latency holds much of Node and of the scheduler, so the CPU rows say more about the tables.`,
];

export async function run({ print, signal }: BenchContext): Promise<BenchResult> {
  const kubeProxy = await findKubeProxy();
  await using rig = await startRig(4);
  const service = await makeService(rig);
  const meters = await openMeters(rig, service, kubeProxy.subject);
  const rows: BenchRow[] = [];
  const budgets: BenchBudget[] = [];
  for (const services of SIZES) {
    if (services > 1) await rig.fillTo(services - 1);
    for (const [number, program] of [
      [3, innermesh],
      [4, kubeProxy],
    ] as const) {
      signal.throwIfAborted();
      print(`${program.subject} programs ${services} Services`);
      await programNode(rig, program, rig.playground.node(number), service.tcp);
    }
    print(`measuring flows, ${ROUNDS} rounds`);
    const rounds = await measureRounds(meters, signal);
    const what = `${services.toLocaleString("en-US")} ${services === 1 ? "Service" : "Services"}`;
    for (const [subject, costs] of rounds) rows.push(...rowsOf(what, subject, costs));
    if (services === SIZES.at(-1)) budgets.push(judge(what, rounds, kubeProxy.subject));
  }
  for (const meter of meters) await meter.close();
  return { rows, budgets, notes: NOTES };
}

interface Service {
  readonly tcp: Target;
  readonly udp: Target;
}

async function makeService({ controlPlane: { admin } }: Rig): Promise<Service> {
  const ports = [
    { name: "tcp", protocol: "TCP", port: 80, targetPort: TARGET_PORT },
    { name: "udp", protocol: "UDP", port: UDP_PORT, targetPort: UDP_PORT },
  ];
  const service = await createService(admin, { name: "flows", spec: { ports } });
  const conditions = { ready: true, serving: true, terminating: false };
  await admin.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "flows",
      namespace: "default",
      labels: {
        "kubernetes.io/service-name": "flows",
        "endpointslice.kubernetes.io/managed-by": "innermesh-bench",
      },
    },
    addressType: "IPv4",
    endpoints: Array.from({ length: 10 }, (_, i) => ({
      addresses: [backend(1, 1 + i)],
      conditions,
    })),
    ports: ports.map((port) => ({ ...port, port: port.targetPort, targetPort: undefined })),
  });
  const address = service.spec?.clusterIP;
  assert(address !== undefined);
  return { tcp: { address, port: 80 }, udp: { address, port: UDP_PORT } };
}

/** On nodes 1 to 4. */
async function openMeters(rig: Rig, service: Service, peer: string): Promise<readonly FlowMeter[]> {
  const direct: Service = {
    tcp: { address: backend(1, 1), port: TARGET_PORT },
    udp: { address: backend(1, 1), port: UDP_PORT },
  };
  await installOneRule(rig, rig.playground.node(2), service);
  const paths = [
    { subject: NO_NAT, ...direct },
    { subject: ONE_RULE, ...service },
    { subject: innermesh.subject, ...service },
    { subject: peer, ...service },
  ];
  return Promise.all(
    paths.map((path, i) => openFlowMeter(rig, { ...path, node: rig.playground.node(1 + i) })),
  );
}

/** Leaves the rules of an agent on a node, and the agent itself stopped. */
async function programNode(
  rig: Rig,
  program: AgentProgram,
  node: PlaygroundNode,
  target: Target,
): Promise<void> {
  await rig.wipe(node);
  const path = fileURLToPath(new URL("./answer-program.ts", import.meta.url));
  const argv = [process.execPath, path];
  await using probe = new LineCaller<AnswerCalls>(
    rig.playground.spawn(rig.clientPod(node).netns, argv),
  );
  const agent = await program.start(rig, node);
  const answer = probe.call("all", { targets: [target], limitMs: ANSWER_LIMIT_MS });
  await agent.whileRunning(answer);
  await agent.settle();
  await agent.stop();
}

type Rounds = ReadonlyMap<string, readonly FlowCost[]>;

async function measureRounds(meters: readonly FlowMeter[], signal: AbortSignal): Promise<Rounds> {
  for (const meter of meters) await meter.check();
  const costs = await inTurns(meters, ROUNDS, (meter) => meter.measure(), signal);
  return new Map([...costs].map(([{ path }, values]) => [path.subject, values]));
}

function rowsOf(what: string, subject: string, costs: readonly FlowCost[]): BenchRow[] {
  const connects = costs.flatMap(({ connectsUs }) => connectsUs);
  const rates = costs.map(({ connectsUs }) => {
    return (1e6 * connectsUs.length) / connectsUs.reduce((sum, value) => sum + value, 0);
  });
  const row = (metric: string, unit: string, value: number): BenchRow => {
    return { case: what, subject, metric, unit, value };
  };
  return [
    row("UDP, new flow, CPU", "ns", median(costs.map(({ udpNewNs }) => udpNewNs))),
    row("UDP, packet of a known flow, CPU", "ns", median(costs.map((cost) => cost.udpKnownNs))),
    row("TCP, SYN and answer and RST, CPU", "ns", median(costs.map(({ synNs }) => synNs))),
    row("TCP connect, p50", "µs", median(connects)),
    row("TCP connect, p99", "µs", percentile(connects, 0.99)),
    row("TCP connects, one after the other", "/s", median(rates)),
  ];
}

/** Each round is its own comparison, so that what a whole round suffers cancels out. */
function judge(what: string, rounds: Rounds, peer: string): BenchBudget {
  const theirs = rounds.get(peer) ?? [];
  const differencesUs = (rounds.get(innermesh.subject) ?? []).map(
    (cost, round) => (cost.udpNewNs - (theirs[round]?.udpNewNs ?? Number.NaN)) / 1_000,
  );
  const value = median(differencesUs);
  return {
    name: `${what}: UDP, new flow, innermesh − kube-proxy, µs, at most`,
    limit: PRICE_LIMIT_US,
    value,
    ok: value <= PRICE_LIMIT_US,
  };
}
