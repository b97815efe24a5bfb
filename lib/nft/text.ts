// Prints transactions as text that `nft -f` (1.0.6 and later) reads: what `innermesh plan` shows,
// what goldens hold and what the command backend loads. `encode.ts` says the same in bytes.

import assert from "node:assert/strict";
import { isMatch, type Match } from "./match.ts";
import type {
  ChainSpec,
  Change,
  Element,
  Family,
  Field,
  Operand,
  Rule,
  SetSpec,
  Statement,
  Transaction,
  Verdict,
} from "./objects.ts";

/** nft 1.0.6 reads no word that begins with a digit. */
const TAG_TYPE = { "8021q": "0x8100", "8021ad": "0x88a8" } as const;
const TPROXY_ADDRESS = { ip: "127.0.0.1", ip6: "[::1]" } as const;
const NFT_REFUSES_IPV6_REMEMBER = "nft 1.0.6 aborts on map updates keyed by an IPv6 address";

const NFT_REFUSES_ND_TARGET = "nft 1.0.6 does not know the target of neighbour discovery";

/** The table that changes are made to. */
export type TablePlace = Pick<Transaction, "family" | "layer" | "table">;

/** The transaction as a script, one command a line (elements one a line below theirs). */
export function formatTransaction(transaction: Transaction): string {
  const lines = transaction.changes.map((change) => formatChange(transaction, change));
  return `${lines.join("\n")}\n`;
}

/** One rule as `nft list` would print it. */
export function formatRule(family: Family, rule: Rule): string {
  return rule.map((statement) => formatStatement(family, statement)).join(" ");
}

/** A set or map declaration: the keyword, the name and the block. */
export function formatSet(family: Family, set: SetSpec): string {
  const key = formatFields(family, set.key);
  const data = set.data === undefined ? "" : ` : ${formatData(family, set.data)}`;
  const lines = [`typeof ${key}${data};`];
  if (set.interval === true) lines.push("flags interval;");
  if (set.dynamic !== undefined) {
    const { timeoutSeconds, size } = set.dynamic;
    lines.push("flags dynamic,timeout;", `timeout ${timeoutSeconds}s;`, `size ${size};`);
  }
  if (set.timeoutSeconds !== undefined) lines.push(`timeout ${set.timeoutSeconds}s;`);
  if (set.comment !== undefined) lines.push(`comment ${quote(set.comment)};`);
  return `${set.data === undefined ? "set" : "map"} ${set.name} { ${lines.join(" ")} }`;
}

/** One element of `set`, as it stands between the braces of `add element`. */
export function formatElement(set: SetSpec, element: Element): string {
  const comment = element.comment === undefined ? "" : ` comment ${quote(element.comment)}`;
  const data = element.data === undefined ? "" : ` : ${formatElementData(set, element.data)}`;
  return `${quoteNames(set.key, element.key)}${comment}${data}`;
}

/** One change as an nft command, or as a comment when nft 1.0.6 cannot read the command. */
export function formatChange(transaction: TablePlace, change: Change): string {
  const { family, layer, table } = transaction;
  const place = `${layer ?? family} ${table}`;
  switch (change.kind) {
    case "add-table": {
      const comment = change.comment === undefined ? "" : ` { comment ${quote(change.comment)}; }`;
      return `add table ${place}${comment}`;
    }
    case "delete-table":
      return `delete table ${place}`;
    case "add-set":
      return `add ${formatSet(family, change.set).replace(" ", ` ${place} `)}`;
    case "delete-set":
      return `delete set ${place} ${change.set}`;
    case "add-counter":
      return `add counter ${place} ${change.counter}`;
    case "add-chain":
      return `add chain ${place} ${formatChain(change.chain)}`;
    case "flush-chain":
      return `flush chain ${place} ${change.chain}`;
    case "delete-chain":
      return `delete chain ${place} ${change.chain}`;
    case "add-rule":
      return formatAddRule(family, `add rule ${place} ${change.chain}`, change.rule);
    case "add-elements": {
      const elements = change.elements.map((element) => formatElement(change.set, element));
      return formatElements("add", place, change.set, elements);
    }
    case "delete-elements": {
      const keys = change.keys.map((key) => quoteNames(change.set.key, key));
      return formatElements("delete", place, change.set, keys);
    }
    default:
      return change satisfies never;
  }
}

/** One statement of a rule. */
export function formatStatement(family: Family, statement: Statement): string {
  return isMatch(statement) ? formatMatch(family, statement) : formatAction(family, statement);
}

function formatMatch(family: Family, statement: Match): string {
  switch (statement.kind) {
    case "in-set": {
      const not = statement.negate === true ? "!= " : "";
      return `${formatKey(family, statement.key)} ${not}@${statement.set}`;
    }
    case "in-list":
      return `${formatKey(family, statement.key)} { ${statement.elements.join(", ")} }`;
    case "mark-has": {
      const relation = statement.negate === true ? "!=" : "==";
      return `meta mark & ${hex(statement.mask)} ${relation} ${hex(statement.mask)}`;
    }
    case "ct-new":
      return "ct state new";
    case "ct-known":
      return "ct state established,related";
    case "ct-dnat":
      return "ct status dnat";
    case "ct-snat":
      return "ct status snat";
    case "ct-mark-has":
      return `ct mark & ${hex(statement.mask)} == ${hex(statement.mask)}`;
    case "ct-reply":
      return "ct direction reply";
    case "l4proto": {
      const icmp = family === "ip" ? "icmp" : "ipv6-icmp";
      const not = statement.negate === true ? "!= " : "";
      return `meta l4proto ${not}${statement.protocol === "icmp" ? icmp : statement.protocol}`;
    }
    case "frame-of-family":
      return `meta protocol ${family}`;
    case "frame-of-arp":
      return "meta protocol arp";
    case "frame-tagged":
      return `ether type ${TAG_TYPE[statement.tag]}`;
    case "icmpv6-type":
      return `icmpv6 type ${statement.type}`;
    case "tcp-dport":
      return `tcp dport ${statement.port}`;
    case "tcp-not-syn":
      return "tcp flags & (fin | syn | rst | ack) != syn";
    case "socket-transparent":
      return "socket transparent 1";
    case "socket-mark-has":
      return `socket mark & ${hex(statement.mask)} == ${hex(statement.mask)}`;
    case "fib-local":
      return `fib ${statement.field} type ${statement.negate === true ? "!= " : ""}local`;
    case "iifname":
      return `iifname ${statement.negate === true ? "!= " : ""}${quote(statement.name)}`;
    case "prefix": {
      const not = statement.negate === true ? "!= " : "";
      return `${family} ${statement.field} ${not}${statement.prefix}`;
    }
    default:
      return statement satisfies never;
  }
}

function formatAction(family: Family, statement: Exclude<Statement, Match>): string {
  switch (statement.kind) {
    case "set-mark":
      return `meta mark set meta mark ${statement.operator} ${hex(statement.mask)}`;
    case "set-ct-mark":
      return `ct mark set ct mark | ${hex(statement.mask)}`;
    case "set-priority":
      return `meta priority set ${formatKey(family, statement.key)} map @${statement.map}`;
    case "mask-priority":
      return `meta priority set meta priority & ${hex(statement.mask)}`;
    case "clear-priority":
      return "meta priority set 0";
    case "vmap":
      return `${formatKey(family, statement.key)} vmap @${statement.map}`;
    case "dnat":
      return formatDnat(family, statement.key, statement.map);
    case "tproxy":
      return `meta l4proto tcp tproxy to ${TPROXY_ADDRESS[family]}:${statement.port}`;
    case "set-ether-daddr":
      return `ether daddr set ${statement.address}`;
    case "set-pkttype-host":
      return "meta pkttype set host";
    case "forward-to":
      return `fwd to ${quote(statement.name)}`;
    case "masquerade":
      return "masquerade fully-random";
    case "reject":
      return `reject with ${family === "ip" ? "icmp" : "icmpv6"} port-unreachable`;
    case "reset-tcp":
      return "meta l4proto tcp reject with tcp reset";
    case "remember": {
      const { operation, map, timeoutSeconds } = statement;
      const timeout = timeoutSeconds === undefined ? "" : ` timeout ${timeoutSeconds}s`;
      const key = formatKey(family, statement.key);
      return `${operation} @${map} { ${key}${timeout} : meta priority }`;
    }
    case "log": {
      const { prefix, group, perSecond } = statement;
      return `limit rate ${perSecond}/second log prefix ${quote(prefix)} group ${group}`;
    }
    case "count":
      return `counter name ${quote(statement.counter)}`;
    case "verdict":
      return formatVerdict(statement.verdict);
    default:
      return statement satisfies never;
  }
}

/** nft wants a guard that it takes for a transport match, and knows no cheaper one. */
function formatDnat(family: Family, key: readonly Operand[], map: string): string {
  const target = `${formatKey(family, key)} map @${map}`;
  return `meta l4proto { tcp, udp, sctp } dnat ${family} to ${target}`;
}

function formatAddRule(family: Family, place: string, rule: Rule): string {
  const command = `${place} ${formatRule(family, rule)}`;
  const why = unreadable(family, rule);
  return why === undefined ? command : `# ${command} # ${why}`;
}

/** Why nft 1.0.6 cannot read the rule. */
function unreadable(family: Family, rule: Rule): string | undefined {
  if (family === "ip6" && rule.some(({ kind }) => kind === "remember")) {
    return NFT_REFUSES_IPV6_REMEMBER;
  }
  const asksForTarget = ({ kind }: Operand): boolean => kind === "nd-target";
  const isAboutTarget = rule.some((s) => s.kind === "in-set" && s.key.some(asksForTarget));
  return isAboutTarget ? NFT_REFUSES_ND_TARGET : undefined;
}

function formatChain(chain: ChainSpec): string {
  if (chain.base === undefined) return chain.name;
  const { type, hook, priority, device } = chain.base;
  const on = device === undefined ? "" : ` device ${quote(device)}`;
  return `${chain.name} { type ${type} hook ${hook}${on} priority ${priority}; policy accept; }`;
}

function formatElements(
  verb: "add" | "delete",
  place: string,
  set: SetSpec,
  elements: readonly string[],
): string {
  // nft takes empty braces for a syntax error.
  if (elements.length === 0) return `# nothing to ${verb} in ${set.name}`;
  return `${verb} element ${place} ${set.name} {\n  ${elements.join(",\n  ")}\n}`;
}

/** A verdict, as in rules and in verdict maps. */
export function formatVerdict(verdict: Verdict): string {
  return verdict.kind === "jump" || verdict.kind === "goto"
    ? `${verdict.kind} ${verdict.chain}`
    : verdict.kind;
}

function formatKey(family: Family, key: readonly Operand[]): string {
  return key.map((operand) => formatOperand(family, operand)).join(" . ");
}

function formatOperand(family: Family, operand: Operand): string {
  switch (operand.kind) {
    case "field":
      return formatField(family, operand.field);
    case "masked-priority":
      return `meta priority & ${hex(operand.mask)}`;
    case "random":
      return `numgen random mod ${operand.modulus}`;
    case "arp-sender":
      return "arp saddr ip";
    case "nd-target":
      return "icmpv6 taddr";
    default:
      return operand satisfies never;
  }
}

function formatFields(family: Family, fields: readonly Field[]): string {
  return fields.map((field) => formatField(family, field)).join(" . ");
}

function formatData(family: Family, data: "verdict" | readonly Field[]): string {
  return data === "verdict" ? "verdict" : formatFields(family, data);
}

function formatField(family: Family, field: Field): string {
  if (field === "saddr" || field === "daddr") return `${family} ${field}`;
  // Declares an integer in host order; the modulus in a declaration means nothing.
  return field === "index" ? "numgen random mod 2" : field;
}

function formatElementData(set: SetSpec, data: string): string {
  return set.data === undefined || set.data === "verdict" ? data : quoteNames(set.data, data);
}

/** Interface names need quotes: nft would read `eth0.100` or `any` as something else. */
function quoteNames(fields: readonly Field[], text: string): string {
  if (!fields.includes("meta iifname")) return text;
  return text
    .split(" . ")
    .map((part, i) => (fields[i] === "meta iifname" ? quote(part) : part))
    .join(" . ");
}

function quote(text: string): string {
  assert(!/["\\\n]/.test(text), `nft text cannot hold ${JSON.stringify(text)}`);
  return `"${text}"`;
}

function hex(mask: number): string {
  return `0x${(mask >>> 0).toString(16)}`;
}
