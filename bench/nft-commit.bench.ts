// What it costs to program the kernel lane's maps: encode and commit of everything, then one
// endpoint removed and added again. Run as root inside a network namespace of its own; prints one
// JSON object a line. Arguments: services (10000), endpoints each (10).

import assert from "node:assert/strict";
import { encodeBatch } from "../lib/nft/encode.ts";
import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import type { ChainSpec, Change, Element, Rule, SetSpec, Transaction } from "../lib/nft/objects.ts";
import { formatPriority } from "../lib/nft/priority.ts";
import { SetRegistry } from "../lib/nft/set-registry.ts";

const TABLE = "im-bench";
const DELTAS = 400;
const ROUNDS = 3;
const services = Number(process.argv[2] ?? 10_000);
const endpoints = Number(process.argv[3] ?? 10);

const vips: SetSpec = {
  name: "vips",
  key: ["daddr", "meta l4proto", "th dport"],
  data: ["meta priority"],
};
const verdicts: SetSpec = { name: "esets", key: ["meta priority"], data: "verdict" };
const external: SetSpec = { name: "ext", key: ["meta priority"], data: "verdict" };
const clusterOf: SetSpec = { name: "cluster-of", key: ["meta priority"], data: ["meta priority"] };
const choices: SetSpec = {
  name: "endpoints",
  key: ["meta priority", "index"],
  data: ["daddr", "th dport"],
};

function address(network: number, index: number): string {
  return `${network}.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}

function endpointElement(service: number, index: number): Element {
  return {
    key: `${formatPriority(service + 1)} . ${index}`,
    data: `${address(10, service * endpoints + index)} . 8080`,
  };
}

/** The path of a packet, since the kernel validates verdict maps that rules look in. */
function rules(): Change[] {
  const priority = { kind: "field", field: "meta priority" } as const;
  const vip = (["daddr", "meta l4proto", "th dport"] as const).map(
    (field) => ({ kind: "field", field }) as const,
  );
  const add = (chain: string, ...rule: Rule): Change => ({ kind: "add-rule", chain, rule });
  const pick = (count: number): Change =>
    add(`mod-${count}`, {
      kind: "dnat",
      key: [priority, { kind: "random", modulus: count }],
      map: choices.name,
    });
  return [
    add("services", { kind: "set-priority", key: vip, map: vips.name }),
    add("services", { kind: "vmap", key: [priority], map: external.name }),
    add("services", { kind: "vmap", key: [priority], map: verdicts.name }),
    add("etp-cluster", { kind: "set-priority", key: [priority], map: clusterOf.name }),
    pick(endpoints - 1),
    pick(endpoints),
  ];
}

function fullTransaction(): Transaction {
  const ids = Array.from({ length: services }, (_, i) => i);
  const chains: ChainSpec[] = [
    { name: "services", base: { type: "nat", hook: "prerouting", priority: -100 } },
    { name: "etp-cluster" },
    ...[endpoints - 1, endpoints].map((count) => ({ name: `mod-${count}` })),
  ];
  const add = (set: SetSpec, elements: readonly Element[]): Change => ({
    kind: "add-elements",
    set,
    elements,
  });
  const externalId = (i: number): string => formatPriority(0x100000 + i);
  return {
    family: "ip",
    table: TABLE,
    changes: [
      { kind: "add-table" },
      { kind: "delete-table" },
      { kind: "add-table" },
      ...[vips, verdicts, external, clusterOf, choices].map(
        (set): Change => ({ kind: "add-set", set }),
      ),
      ...chains.map((chain): Change => ({ kind: "add-chain", chain })),
      ...rules(),
      add(
        verdicts,
        ids.map((i) => ({
          key: formatPriority(i + 1),
          data: `goto mod-${endpoints}`,
          comment: `namespace-${i % 100}/service-${i}:http`,
        })),
      ),
      add(
        external,
        ids.map((i) => ({ key: externalId(i), data: "jump etp-cluster" })),
      ),
      add(
        clusterOf,
        ids.map((i) => ({ key: externalId(i), data: formatPriority(i + 1) })),
      ),
      add(
        vips,
        ids.map((i) => ({
          key: `${address(11, i)} . tcp . 80`,
          data: formatPriority(i + 1),
          comment: `namespace-${i % 100}/service-${i}:http`,
        })),
      ),
      add(
        choices,
        ids.flatMap((i) => Array.from({ length: endpoints }, (_, k) => endpointElement(i, k))),
      ),
    ],
  };
}

/** The last endpoint of a service leaves or returns: two verdict elements and one data element. */
function delta(service: number, from: number, to: number): Transaction {
  const key = formatPriority(service + 1);
  const last = endpointElement(service, endpoints - 1);
  const change: Change =
    to < from
      ? { kind: "delete-elements", set: choices, keys: [last.key] }
      : { kind: "add-elements", set: choices, elements: [last] };
  return {
    family: "ip",
    table: TABLE,
    changes: [
      { kind: "delete-elements", set: verdicts, keys: [key] },
      { kind: "add-elements", set: verdicts, elements: [{ key, data: `goto mod-${to}` }] },
      change,
    ],
  };
}

function print(metric: string, unit: string, value: number): void {
  const name = `${services}x${endpoints}`;
  const row = { case: name, subject: "innermesh", metric, unit, value: Number(value.toFixed(3)) };
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const kernel = await openNetlinkKernel();
assert(services > 0 && endpoints > 1);
const full = fullTransaction();
for (let round = 0; round < ROUNDS; round++) {
  const encodeStart = performance.now();
  const batch = encodeBatch([full], new SetRegistry());
  print("encode", "ms", performance.now() - encodeStart);
  if (round === 0) print("batch", "bytes", batch.bytes.length);
  const commitStart = performance.now();
  await kernel.commit([full]);
  print("encode+commit", "ms", performance.now() - commitStart);
}
const times: number[] = [];
for (let i = 0; i < DELTAS; i++) {
  const service = (i * 47) % services;
  const [from, to] = i % 2 === 0 ? [endpoints, endpoints - 1] : [endpoints - 1, endpoints];
  const start = performance.now();
  await kernel.commit([delta(i % 2 === 0 ? service : ((i - 1) * 47) % services, from, to)]);
  times.push(performance.now() - start);
}
times.sort((a, b) => a - b);
print("one-endpoint delta p50", "ms", percentile(times, 0.5));
print("one-endpoint delta p99", "ms", percentile(times, 0.99));
const readStart = performance.now();
const contents = await kernel.read("ip", TABLE);
print("read", "ms", performance.now() - readStart);
assert(contents?.sets.get(choices.name)?.size === services * endpoints);
await kernel.commit([{ family: "ip", table: TABLE, changes: [{ kind: "delete-table" }] }]);
await kernel.close();
