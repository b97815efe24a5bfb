// Program: keeps policies in the network namespace it was started in, for a cluster of as many pods
// and policies as its two arguments say. Prints one JSON object: what each step took.

import assert from "node:assert/strict";
import { makeStore } from "../lib/kube/store.ts";
import { makeLogger, standardError } from "../lib/log/logger.ts";
import { type CommitReport, openNetlinkKernel } from "../lib/nft/kernel.ts";
import type { NftKernel } from "../lib/nft/objects.ts";
import { POLICY_TABLE } from "../netpol-identity/plan/policy-table-parts.ts";
import { runOrThrow } from "../playground/command.ts";
import { PolicyNode } from "./policy-node.ts";
import type { ChangeTimes, PolicyCounts, PolicyTimes } from "./policy-report.ts";
import { addressesOf, LOCAL_PODS, NODE, PolicyWorld } from "./policy-world.ts";
import { median, percentile } from "./statistics.ts";

const ROUNDS = 3;
const POD_CHANGES = 150;
const OTHER_CHANGES = 20;
/** Prime to the number of pods: spreads changes over all namespaces. */
const SPREAD = 4_999;
/** Of lanes, that ask who may call them. */
const GUARDED_SERVICES = 2_000;
const ENDPOINTS = 5;

const [pods = 0, policies = 0] = process.argv.slice(2).map(Number);
assert(pods >= LOCAL_PODS && policies > 0);
const log = makeLogger({ level: "warn", format: "text", destination: standardError() });
let commitMs = 0;
const kernel = await openNetlinkKernel({ onCommit: (report) => note(report) });
const store = makeStore([]);
const world = new PolicyWorld(store, { pods, policies });
await makeInterfaces();
const before = memoryMiB();
const cold: Times[] = [];
for (let round = 1; round < ROUNDS; round++) {
  const started = await startNode();
  cold.push(started.times);
  await started.node[Symbol.asyncDispose]();
}
const { node, times } = await startNode();
cold.push(times);
const memory = memoryMiB() - before;
const result: PolicyTimes = {
  coldMs: median(cold.map(({ ms }) => ms)),
  coldKernelMs: median(cold.map(({ kernelMs }) => kernelMs)),
  coldCpuMs: median(cold.map(({ cpuMs }) => cpuMs)),
  memoryMiB: memory,
  counts: await counts(kernel),
  label: await changes(POD_CHANGES, relabel),
  move: await changes(OTHER_CHANGES, move),
  policy: await changes(OTHER_CHANGES, (i) => world.putPolicy(policies + i, far(i))),
  elsewhere: await changes(OTHER_CHANGES, (i) => world.putPolicy(2 * policies + i, away(i))),
  unpolicy: await changes(OTHER_CHANGES, (i) => world.removePolicy(policies + i, far(i))),
  namespace: await changes(OTHER_CHANGES, (i) => world.putNamespace(i, `team-${(i + 1) % 5}`)),
  guarded: await guarded(),
};
assert.deepEqual(await node.apply.audit(), []);
await node[Symbol.asyncDispose]();
await kernel.close();
process.stdout.write(`${JSON.stringify(result)}\n`);

interface Times {
  readonly ms: number;
  readonly kernelMs: number;
  readonly cpuMs: number;
}

async function startNode(): Promise<{ readonly node: PolicyNode; readonly times: Times }> {
  const started = new PolicyNode({ store, kernel, log });
  return { node: started, times: await timed(() => started.start()) };
}

async function changes(count: number, change: (number: number) => void): Promise<ChangeTimes> {
  const all: Times[] = [];
  for (let i = 0; i < count; i++) all.push(await timed(() => node.enforce(() => change(i))));
  const ms = all.map((one) => one.ms);
  return {
    p50Ms: median(ms),
    p99Ms: percentile(ms, 0.99),
    kernelMs: median(all.map(({ kernelMs }) => kernelMs)),
    cpuMs: median(all.map(({ cpuMs }) => cpuMs)),
    cpuP99Ms: percentile(
      all.map(({ cpuMs }) => cpuMs),
      0.99,
    ),
  };
}

/** Into the group that its whole namespace hears, or out of it. */
function relabel(i: number): void {
  const pod = (i * SPREAD) % pods;
  world.putPod(pod, { role: world.isFront(pod) ? "back" : "front" });
}

/** Pods of this node that stay what they were. */
function far(i: number): number {
  return world.localPods().at(-1 - i) ?? assert.fail(`only ${i} pods`);
}

/** Pods of other nodes whose app has none on this one. */
function away(i: number): number {
  const own = new Set(world.localPods().map((pod) => world.kindOf(pod)));
  const others = Array.from({ length: policies }, (_, pod) => pod);
  return others.filter((pod) => !own.has(world.kindOf(pod)))[i] ?? assert.fail("all are here");
}

/** The same change of labels, with as many Services in front of whose lanes gates stand. */
async function guarded(): Promise<ChangeTimes> {
  const { gate } = node.policies;
  const ask = (number: number): void => {
    const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => {
      return { address: addressesOf(world.alike(number, i))[0], port: 8_080 };
    });
    const question = { inside: endpoints, outside: endpoints, isExternal: false };
    gate.ask(String(number), "ip", [question]);
  };
  for (let i = 0; i < GUARDED_SERVICES; i++) ask(i);
  store.takeChanges();
  return changes(OTHER_CHANGES, (i) => {
    for (const service of store.takeChanges().services) ask(Number(service));
    relabel(POD_CHANGES + i);
  });
}

/** Another app's policies are about it from now on, and it is in that one's groups. */
function move(i: number): void {
  const pod = world.localPods()[i] ?? assert.fail(`only ${i} pods`);
  world.putPod(pod, { app: world.appOf(pod) + 1 });
}

async function timed(work: () => Promise<void>): Promise<Times> {
  commitMs = 0;
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await work();
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, kernelMs: commitMs, cpuMs: (user + system) / 1_000 };
}

function note({ durationMs }: CommitReport): void {
  commitMs += durationMs;
}

function memoryMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

async function counts(door: NftKernel): Promise<PolicyCounts> {
  const table = (await door.read("ip", POLICY_TABLE)) ?? assert.fail("no table");
  const named = (pattern: RegExp): number =>
    [...table.chains.keys()].filter((name) => pattern.test(name)).length;
  return {
    chains: named(/^(in|out)-/),
    sets: new Set(
      store.pods
        .values()
        .filter((pod) => pod.nodeName === NODE)
        .flatMap((pod) => [
          node.policies.index.setOf(pod, "ingress")?.id,
          node.policies.index.setOf(pod, "egress")?.id,
        ]),
    ).size,
    rules: table.chains.values().reduce((sum, rules) => sum + rules.length, 0),
    elements: table.sets.values().reduce((sum, set) => sum + set.size, 0),
  };
}

/** Both ends of each pod's pair stay here: nobody sends anything. */
async function makeInterfaces(): Promise<void> {
  const lines = world
    .localPods()
    .flatMap((pod, i) => [
      `link add veth${i} type veth peer name peer${i}`,
      `link set veth${i} up`,
      ...addressesOf(pod).map((address) => `route add ${address} dev veth${i}`),
    ]);
  await runOrThrow(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
