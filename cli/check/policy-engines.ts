// Who else enforces NetworkPolicies on a node, told by what it leaves in the kernel and on disk,
// and which rules of others stand in the way of tunnels. Pure.

import { asList, asRecord, asText, type JsonRecord } from "../../lib/kube/api/fields.ts";

/** What a node has that is not ours. */
export interface ForeignTraces {
  /** nft tables, as `ip calico`. */
  readonly tables: readonly string[];
  /** Chains of all tables, iptables' too. */
  readonly chains: readonly string[];
  readonly links: readonly string[];
  /** Names of files in /etc/cni/net.d. */
  readonly cniFiles: readonly string[];
}

interface Engine {
  readonly name: string;
  readonly table?: RegExp;
  readonly chain?: RegExp;
  readonly link?: RegExp;
  readonly cniFile?: RegExp;
}

const ENGINES: readonly Engine[] = [
  { name: "Calico", table: / calico$/, chain: /^cali-/, link: /^cali[0-9a-f]/, cniFile: /calico/ },
  { name: "Cilium", chain: /^CILIUM_/, link: /^cilium_/, cniFile: /cilium/ },
  { name: "kube-router", chain: /^KUBE-(NWPLCY|POD-FW)/ },
  { name: "Weave Net", chain: /^WEAVE-NPC/ },
  { name: "Antrea", table: / antrea/, chain: /^ANTREA-/, link: /^antrea-/, cniFile: /antrea/ },
  { name: "OVN-Kubernetes", link: /^ovn-k8s-/, cniFile: /ovn-k/ },
  { name: "kube-network-policies", table: / (kube|kindnet)-network-policies$/ },
];

/** One phrase for each, with the trace that is the surest. */
export function findEngines(traces: ForeignTraces): readonly string[] {
  return ENGINES.flatMap(({ name, ...patterns }) => {
    const find = (list: readonly string[], pattern: RegExp | undefined, what: string) => {
      const found = pattern && list.find((one) => pattern.test(one));
      return found === undefined ? undefined : `${name} (${what} ${found})`;
    };
    return (
      find(traces.tables, patterns.table, "table") ??
      find(traces.chains, patterns.chain, "chain") ??
      find(traces.links, patterns.link, "interface") ??
      find(traces.cniFiles, patterns.cniFile, "/etc/cni/net.d") ??
      []
    );
  });
}

/**
 * Rules that drop or reject a TCP port by its number, as `ip filter INPUT`.
 * @param listing what `nft --json list ruleset` or `list table` prints
 */
export function portBlocks(listing: unknown, port: number): readonly string[] {
  const rules = asList(asRecord(listing)["nftables"]).map((item) =>
    asRecord(asRecord(item)["rule"]),
  );
  const blocking = rules.filter((rule) => {
    const expressions = asList(rule["expr"]).map(asRecord);
    return expressions.some((one) => matchesPort(one, port)) && expressions.some(isDenial);
  });
  const names = blocking.map(({ family, table, chain }) =>
    [family, table, chain].map(asText).join(" "),
  );
  return [...new Set(names)];
}

/** The same of rules as `iptables-save` prints them. */
export function blocksPort(specification: string, port: number): boolean {
  const words = specification.split(" ");
  const ports = words.indexOf("--dport") === -1 ? "--dports" : "--dport";
  const value = words[words.indexOf(ports) + 1] ?? "";
  if (!words.includes(ports) || !/ -j (DROP|REJECT)\b/.test(` ${specification}`)) return false;
  return value.split(",").some((one) => isInRange(one.split(":").map(Number), port));
}

function matchesPort({ match }: JsonRecord, port: number): boolean {
  const { left, op, right } = asRecord(match);
  if (asText(asRecord(asRecord(left)["payload"])["field"]) !== "dport" || op === "!=") return false;
  const { set } = asRecord(right);
  return (set === undefined ? [right] : asList(set)).some((value) => {
    const range = asList(asRecord(value)["range"]);
    return isInRange(range.length === 0 ? [value] : range, port);
  });
}

function isInRange(bounds: readonly unknown[], port: number): boolean {
  const [first, last = first] = bounds.map(Number);
  return first !== undefined && last !== undefined && first <= port && port <= last;
}

function isDenial(expression: JsonRecord): boolean {
  return "drop" in expression || "reject" in expression;
}
