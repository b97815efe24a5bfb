// Walks one packet through planned tables and says every step: which rule matched, what it looked
// up, what became of the packet. The same claims run against the real kernel in test/netns.

import type { FakeTable } from "./fake-kernel.ts";
import { isMatch, type Match } from "./match.ts";
import type { Hook, Operand, Rule, Statement } from "./objects.ts";
import { formatPriority, parsePriority } from "./priority.ts";
import { formatRule } from "./text.ts";
import { evaluateMatch, isInInterval, type PacketView } from "./trace-match.ts";

/** A packet that starts a new connection. */
export interface TracePacket {
  /** The interface it entered through; undefined when a process of this node sent it. */
  readonly interface?: string;
  readonly source: string;
  readonly destination: string;
  readonly protocol: "tcp" | "udp" | "sctp" | "icmp";
  readonly destinationPort: number;
}

/** What the trace needs to know about the node around the table. */
export interface TraceWorld {
  /** Addresses of this node, for `fib … type local`. */
  readonly localAddresses: ReadonlySet<string>;
  /** A number in [0, modulus), for `numgen random`. */
  readonly random: (modulus: number) => number;
  /**
   * The bits of the packet mark that routing rules outside the table turn into local delivery.
   * @default none
   */
  readonly deliveredMark?: number;
}

export interface TraceStep {
  readonly chain: string;
  readonly rule: string;
  /** e.g. `10.96.0.10 . tcp . 80 → 0:1`, or `no match` */
  readonly note: string;
}

export interface TraceResult {
  /** "lane": a transparent listener of this node takes the connection, at `listenerPort`. */
  readonly verdict: "accept" | "drop" | "reject" | "lane";
  readonly listenerPort?: number;
  /** Where the packet goes after DNAT; its own destination when nothing rewrote it. */
  readonly destination: string;
  readonly destinationPort: number;
  readonly translated: boolean;
  /** True when the source becomes this node's address. */
  readonly masquerade: boolean;
  readonly mark: number;
  /** The scratch register as the packet leaves; anything but 0 is a leak. */
  readonly priority: number;
  readonly steps: readonly TraceStep[];
}

/**
 * Traces once for each number that chance could give: a new flow draws at most once.
 * @param trace given the `random` of that draw
 * @returns in the order of the numbers
 */
export function traceEveryDraw(
  trace: (random: TraceWorld["random"]) => TraceResult,
): readonly TraceResult[] {
  const results: TraceResult[] = [];
  for (let draw = 0, most = 1; draw < most; draw++) {
    const result = trace((modulus) => {
      most = Math.max(most, modulus);
      return draw % modulus;
    });
    results.push(result);
  }
  return results;
}

type Outcome = "accept" | "drop" | "reject" | "fallthrough" | "return";

/** Traces a packet through one table's hooks in netfilter's order. Never throws on real plans. */
export function tracePacket(table: FakeTable, packet: TracePacket, world: TraceWorld): TraceResult {
  const walk = new Walk(table, packet, world);
  const verdict = passHooks(walk, packet, world);
  const port = walk.listenerPort;
  return {
    verdict: verdict === "accept" && port !== undefined ? "lane" : verdict,
    ...(port === undefined ? {} : { listenerPort: port }),
    destination: walk.destination,
    destinationPort: walk.destinationPort,
    translated: walk.translated,
    masquerade: walk.masquerade,
    mark: walk.mark,
    priority: walk.priority,
    steps: walk.steps,
  };
}

function passHooks(
  walk: Walk,
  packet: TracePacket,
  { localAddresses, deliveredMark = 0 }: TraceWorld,
): "accept" | "drop" | "reject" {
  if (packet.interface === undefined) {
    for (const hook of ["output", "postrouting"] as const) {
      const verdict = walk.hook(hook);
      if (verdict !== "accept") return verdict;
    }
    const isDelivered = (walk.mark & deliveredMark) === deliveredMark && deliveredMark !== 0;
    if (!isDelivered) return "accept";
    walk.interface = "lo";
  }
  const verdict = walk.hook("prerouting");
  if (verdict !== "accept") return verdict;
  const isInput = localAddresses.has(walk.destination) || walk.listenerPort !== undefined;
  const filtered = walk.hook(isInput ? "input" : "forward");
  return filtered === "accept" && !isInput ? walk.hook("postrouting") : filtered;
}

class Walk implements PacketView {
  readonly source: string;
  readonly protocol: string;
  interface: string;
  destination: string;
  destinationPort: number;
  translated = false;
  listenerPort: number | undefined;
  masquerade = false;
  mark = 0;
  priority = 0;
  readonly steps: TraceStep[] = [];
  readonly #table: FakeTable;
  readonly #world: TraceWorld;

  constructor(table: FakeTable, packet: TracePacket, world: TraceWorld) {
    this.#table = table;
    this.#world = world;
    this.source = packet.source;
    this.protocol = packet.protocol;
    this.interface = packet.interface ?? "";
    this.destination = packet.destination;
    this.destinationPort = packet.destinationPort;
  }

  hook(hook: Hook): "accept" | "drop" | "reject" {
    const chains = [...this.#table.chains.values()]
      .filter(({ spec }) => spec.base?.hook === hook)
      .sort((a, b) => (a.spec.base?.priority ?? 0) - (b.spec.base?.priority ?? 0));
    for (const chain of chains) {
      const outcome = this.#chain(chain.spec.name);
      if (outcome === "drop" || outcome === "reject") return outcome;
    }
    return "accept";
  }

  #chain(name: string): Outcome {
    const chain = this.#table.chains.get(name);
    if (chain === undefined) throw new Error(`Cannot trace into chain "${name}": not planned`);
    for (const rule of chain.rules) {
      const outcome = this.#rule(name, rule);
      if (outcome === "return") return "fallthrough";
      if (outcome !== "fallthrough") return outcome;
    }
    return "fallthrough";
  }

  #rule(chain: string, rule: Rule): Outcome {
    const notes: string[] = [];
    const step = { chain, rule: formatRule(this.#table.family, rule), note: "" };
    const index = this.steps.push(step) - 1;
    let outcome: Outcome | "next" = "next";
    for (const statement of rule) {
      outcome = this.#statement(statement, (note) => {
        notes.push(note);
        this.steps[index] = { ...step, note: notes.join("; ") };
      });
      if (outcome !== "next") return outcome;
    }
    return "fallthrough";
  }

  /** "next" goes on in the rule; "fallthrough" ends the rule. */
  #statement(statement: Statement, note: (text: string) => void): Outcome | "next" {
    if (!isMatch(statement)) return this.#action(statement, note);
    const { matched, why } = evaluateMatch(statement, this);
    if (why !== "") note(matched ? why : `no match: ${why}`);
    return matched ? "next" : "fallthrough";
  }

  #action(statement: Exclude<Statement, Match>, note: (text: string) => void): Outcome | "next" {
    switch (statement.kind) {
      case "set-mark":
        this.mark = applyMask(this.mark, statement.operator, statement.mask);
        note(`mark ${hex(this.mark)}`);
        return "next";
      case "count":
      case "log":
      case "set-ct-mark": // for the flow's later packets
        return "next";
      case "set-priority": {
        const data = this.#lookUp(statement, note);
        if (data === undefined) return "fallthrough";
        this.priority = parsePriority(data);
        return "next";
      }
      case "mask-priority":
        this.priority = (this.priority & statement.mask) >>> 0;
        return "next";
      case "clear-priority":
        this.priority = 0;
        return "next";
      case "vmap": {
        const data = this.#lookUp(statement, note);
        return data === undefined ? "fallthrough" : this.#verdict(data);
      }
      case "dnat": {
        const data = this.#lookUp(statement, note);
        if (data === undefined) return "fallthrough";
        const [address = "", port = "0"] = data.split(" . ");
        this.destination = address;
        this.destinationPort = Number(port);
        this.translated = true;
        return "accept";
      }
      case "tproxy":
        note(`protocol ${this.protocol}`);
        if (this.protocol !== "tcp") return "fallthrough";
        this.listenerPort = statement.port;
        return "next";
      case "set-ether-daddr":
      case "set-pkttype-host":
      case "forward-to":
        // Of tables that see frames; a trace follows a packet.
        throw new Error(`Cannot trace "${statement.kind}": not a statement about packets`);
      case "masquerade":
        this.masquerade = true;
        return "accept";
      case "reject":
        return "reject";
      case "reset-tcp":
        note(`protocol ${this.protocol}`);
        return this.protocol === "tcp" ? "reject" : "fallthrough";
      case "remember":
        this.#remember(statement, note);
        return "next";
      case "verdict":
        return this.#verdict(
          "chain" in statement.verdict
            ? `${statement.verdict.kind} ${statement.verdict.chain}`
            : statement.verdict.kind,
        );
      default:
        return statement satisfies never;
    }
  }

  /** What the map holds for the packet. */
  #lookUp(
    { map, key }: { readonly map: string; readonly key: readonly Operand[] },
    note: (text: string) => void,
  ): string | undefined {
    const found = this.find(map, key);
    note(`${found.key} → ${found.element?.data ?? `not in @${map}`}`);
    return found.element?.data;
  }

  #verdict(text: string): Outcome | "next" {
    const [word = "", chain = ""] = text.split(" ");
    if (word === "accept" || word === "drop" || word === "return") return word;
    const outcome = this.#chain(chain);
    if (word === "jump" && outcome === "fallthrough") return "next";
    return outcome === "fallthrough" ? "return" : outcome;
  }

  #remember(
    statement: Extract<Statement, { kind: "remember" }>,
    note: (text: string) => void,
  ): void {
    const key = this.keyText(statement.key);
    const set = this.#table.sets.get(statement.map);
    note(`${statement.operation} @${statement.map} ${key}`);
    if (statement.operation === "delete") set?.elements.delete(key);
    else set?.elements.set(key, { key, data: formatPriority(this.priority) });
  }

  isLocal(address: string): boolean {
    return this.#world.localAddresses.has(address);
  }

  find(
    name: string,
    operands: readonly Operand[],
  ): { key: string; element: { readonly data?: string } | undefined } {
    const key = this.keyText(operands);
    const set = this.#table.sets.get(name);
    if (set === undefined) throw new Error(`Cannot look up @${name}: not planned`);
    const exact = set.elements.get(key);
    if (exact !== undefined || set.spec.interval !== true) return { key, element: exact };
    for (const element of set.elements.values()) {
      if (isInInterval(element.key, key)) return { key, element };
    }
    return { key, element: undefined };
  }

  keyText(operands: readonly Operand[]): string {
    return operands.map((operand) => this.#operandText(operand)).join(" . ");
  }

  #operandText(operand: Operand): string {
    if (operand.kind === "random") return String(this.#world.random(operand.modulus));
    if (operand.kind === "arp-sender" || operand.kind === "nd-target") {
      throw new Error(`Cannot trace "${operand.kind}": not a part of what a trace follows`);
    }
    if (operand.kind === "masked-priority") {
      return formatPriority((this.priority & operand.mask) >>> 0);
    }
    switch (operand.field) {
      case "saddr":
        return this.source;
      case "daddr":
        return this.destination;
      case "th dport":
        return String(this.destinationPort);
      case "meta l4proto":
        return this.protocol;
      case "meta priority":
        return formatPriority(this.priority);
      case "meta iif":
      case "meta oif":
        throw new Error("Cannot trace an interface by its number: a trace knows its name");
      case "meta iifname":
        return this.interface;
      default:
        return operand.field satisfies never;
    }
  }
}

function applyMask(value: number, operator: "|" | "&" | "^", mask: number): number {
  if (operator === "|") return (value | mask) >>> 0;
  return (operator === "&" ? value & mask : value ^ mask) >>> 0;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
