// A table of the kernel lane's shape and of any size: the sets that a packet's path looks in, and
// the chains that look, as transactions. For measuring nf_tables without the rest of the agent.

import type { ChainSpec, Change, Element, Rule, SetSpec, Transaction } from "../lib/nft/objects.ts";
import { formatPriority } from "../lib/nft/priority.ts";

export const TABLE = "im-bench";
/** Ids of external entry points begin here. */
const FIRST_EXTERNAL = 0x100000;

/** How many Services, and of how many endpoints each. */
export interface TableSize {
  readonly services: number;
  /** At least 2. */
  readonly endpoints: number;
}

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

/** Replaces the table whole. */
export function wholeTable({ services, endpoints }: TableSize): Transaction {
  const ids = Array.from({ length: services }, (_, i) => i);
  const externalId = (i: number): string => formatPriority(FIRST_EXTERNAL + i);
  const name = (i: number): string => `namespace-${i % 100}/service-${i}:http`;
  const chains: ChainSpec[] = [
    { name: "services", base: { type: "nat", hook: "prerouting", priority: -100 } },
    { name: "etp-cluster" },
    ...[endpoints - 1, endpoints].map((count) => ({ name: `mod-${count}` })),
  ];
  return transaction([
    { kind: "add-table" },
    { kind: "delete-table" },
    { kind: "add-table" },
    ...[vips, verdicts, external, clusterOf, choices].map(
      (set): Change => ({ kind: "add-set", set }),
    ),
    ...chains.map((chain): Change => ({ kind: "add-chain", chain })),
    ...rules(endpoints),
    add(verdicts, ids, (i) => ({
      key: formatPriority(i + 1),
      data: `goto mod-${endpoints}`,
      comment: name(i),
    })),
    add(external, ids, (i) => ({ key: externalId(i), data: "jump etp-cluster" })),
    add(clusterOf, ids, (i) => ({ key: externalId(i), data: formatPriority(i + 1) })),
    add(vips, ids, (i) => ({
      key: `${address(11, i)} . tcp . 80`,
      data: formatPriority(i + 1),
      comment: name(i),
    })),
    {
      kind: "add-elements",
      set: choices,
      elements: ids.flatMap((i) =>
        Array.from({ length: endpoints }, (_, k) => endpoint(i, k, endpoints)),
      ),
    },
  ]);
}

/** The last endpoint of a Service leaves or returns: two verdict elements and one data element. */
export function lastEndpoint(
  service: number,
  what: "leaves" | "returns",
  { endpoints }: TableSize,
): Transaction {
  const key = formatPriority(service + 1);
  const last = endpoint(service, endpoints - 1, endpoints);
  const data = `goto mod-${what === "leaves" ? endpoints - 1 : endpoints}`;
  return transaction([
    { kind: "delete-elements", set: verdicts, keys: [key] },
    { kind: "add-elements", set: verdicts, elements: [{ key, data }] },
    what === "leaves"
      ? { kind: "delete-elements", set: choices, keys: [last.key] }
      : { kind: "add-elements", set: choices, elements: [last] },
  ]);
}

export function removeTable(): Transaction {
  return transaction([{ kind: "delete-table" }]);
}

/** The path of a packet, since the kernel validates verdict maps that rules look in. */
function rules(endpoints: number): Change[] {
  const priority = { kind: "field", field: "meta priority" } as const;
  const vip = (["daddr", "meta l4proto", "th dport"] as const).map(
    (field) => ({ kind: "field", field }) as const,
  );
  const rule = (chain: string, ...statements: Rule): Change => {
    return { kind: "add-rule", chain, rule: statements };
  };
  const pick = (count: number): Change =>
    rule(`mod-${count}`, {
      kind: "dnat",
      key: [priority, { kind: "random", modulus: count }],
      map: choices.name,
    });
  return [
    rule("services", { kind: "set-priority", key: vip, map: vips.name }),
    rule("services", { kind: "vmap", key: [priority], map: external.name }),
    rule("services", { kind: "vmap", key: [priority], map: verdicts.name }),
    rule("etp-cluster", { kind: "set-priority", key: [priority], map: clusterOf.name }),
    pick(endpoints - 1),
    pick(endpoints),
  ];
}

function transaction(changes: readonly Change[]): Transaction {
  return { family: "ip", table: TABLE, changes };
}

function add(set: SetSpec, ids: readonly number[], element: (id: number) => Element): Change {
  return { kind: "add-elements", set, elements: ids.map(element) };
}

function endpoint(service: number, index: number, endpoints: number): Element {
  return {
    key: `${formatPriority(service + 1)} . ${index}`,
    data: `${address(10, service * endpoints + index)} . 8080`,
  };
}

function address(network: number, index: number): string {
  return `${network}.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
}
