// The nouns of nf_tables that Innermesh uses: tables, sets, maps, chains, rules and their changes.
// Values only: `text.ts` prints them as nft text, `encode.ts` as nfnetlink bytes, `trace.ts` walks
// packets through them. The three must agree, so each closed choice here is handled in all three.

/** The address family of a table; `ip` and `ip6` tables are planned independently. */
export type Family = "ip" | "ip6";

/**
 * Below IP: tables that see frames, on their way into an interface or through a bridge. One such
 * table serves both families; a transaction's family says of which its fields are.
 */
export type Layer = "netdev" | "bridge";

/** Where a table is: IPv4 and IPv6 packets have each their own, frames of both share one. */
export type Place = Family | Layer;

/** What a key or data field holds; printed in `typeof`, so `nft list` shows readable values. */
export type Field =
  | "saddr" // ip saddr or ip6 saddr, by the table's family
  | "daddr" // ip daddr or ip6 daddr, by the table's family
  | "th dport"
  | "meta l4proto"
  | "meta priority" // a 32-bit scratch register: the endpoint-set id
  | "meta iif" // the number of the interface that it came in by; nft prints its name
  | "meta oif"
  | "meta iifname"
  | "index"; // `numgen random mod N`: a position in an endpoint set, 32 bits host order

/**
 * A named set or map. `data` makes it a map: a verdict map, or fields.
 * `interval` sets hold prefixes; `dynamic` maps are written by the packet path; elements of sets
 * with `timeoutSeconds` go by themselves, so that reading leaves them out like dynamic ones.
 */
export interface SetSpec {
  readonly name: string;
  readonly key: readonly Field[];
  readonly data?: "verdict" | readonly Field[];
  readonly interval?: true;
  readonly dynamic?: { readonly timeoutSeconds: number; readonly size: number };
  readonly timeoutSeconds?: number;
  readonly comment?: string;
}

/**
 * One element, in nft's own text: fields joined by " . ".
 * Addresses are canonical (RFC 5952), prefixes `a/n`, priorities `major:minor` in hex without
 * leading zeros, protocols by name, ports and indices in decimal.
 * Data is fields in the same form, or a verdict: `goto X`, `jump X`, `drop`, `accept`.
 */
export interface Element {
  readonly key: string;
  readonly data?: string;
  /** At most 127 bytes; shown by `nft list`, carries the identity that ids are recovered from. */
  readonly comment?: string;
}

export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress";

/** A chain; with `base` it hangs on a netfilter hook. Base policies are always accept. */
export interface ChainSpec {
  readonly name: string;
  readonly base?: {
    readonly type: "nat" | "filter" | "route";
    readonly hook: Hook;
    readonly priority: number;
    /** The interface whose frames come in: with hook "ingress", which only layer netdev has. */
    readonly device?: string;
  };
}

/** A value read from the packet or made up on the spot. */
export type Operand =
  | { readonly kind: "field"; readonly field: Exclude<Field, "index"> }
  | { readonly kind: "masked-priority"; readonly mask: number }
  | { readonly kind: "random"; readonly modulus: number }
  /** `arp saddr ip`: whose address an ARP packet speaks of. For family ip. */
  | { readonly kind: "arp-sender" }
  /** Whose address a neighbour advertisement speaks of (RFC 4861). For family ip6. */
  | { readonly kind: "nd-target" };

export type Verdict =
  | { readonly kind: "accept" }
  | { readonly kind: "drop" }
  | { readonly kind: "return" }
  | { readonly kind: "jump"; readonly chain: string }
  | { readonly kind: "goto"; readonly chain: string };

/** One statement of a rule. A lookup that finds nothing ends the rule, as in nft. */
export type Statement =
  /** `ip saddr . meta priority @set`; `negate` puts `!=` before the set. */
  | {
      readonly kind: "in-set";
      readonly key: readonly Operand[];
      readonly set: string;
      readonly negate?: true;
    }
  /**
   * `ip saddr { 10.0.0.0/8, 10.9.0.1-10.9.0.3 }`: intervals that the rule brings along, disjoint,
   * at least one; written as keys of interval sets.
   */
  | {
      readonly kind: "in-list";
      readonly key: readonly Operand[];
      readonly elements: readonly string[];
    }
  /** `meta mark & MASK == MASK`; `negate` compares with `!=`. */
  | { readonly kind: "mark-has"; readonly mask: number; readonly negate?: true }
  /** `ct state new` */
  | { readonly kind: "ct-new" }
  /** `ct state established,related`: of a flow that was let in, or about one */
  | { readonly kind: "ct-known" }
  /** `ct status dnat` */
  | { readonly kind: "ct-dnat" }
  /** `ct status snat`: also where conntrack gave it another port since its own was taken. */
  | { readonly kind: "ct-snat" }
  /** `ct mark & MASK == MASK`: a mark on the flow, not on the packet */
  | { readonly kind: "ct-mark-has"; readonly mask: number }
  /** `ct direction reply` */
  | { readonly kind: "ct-reply" }
  /** `meta l4proto tcp`; "icmp" is the family's own: icmpv6 for ip6. */
  | { readonly kind: "l4proto"; readonly protocol: "tcp" | "icmp"; readonly negate?: true }
  /** `meta protocol ip`: the frame carries a packet of the transaction's family. */
  | { readonly kind: "frame-of-family" }
  /** `meta protocol arp` */
  | { readonly kind: "frame-of-arp" }
  /** `ether type 8021q`: it came with such a tag, which `meta protocol` looks past. */
  | { readonly kind: "frame-tagged"; readonly tag: "8021q" | "8021ad" }
  /** `icmpv6 type TYPE`, by number. For family ip6. */
  | { readonly kind: "icmpv6-type"; readonly type: number }
  /** `tcp dport PORT` */
  | { readonly kind: "tcp-dport"; readonly port: number }
  /** `tcp flags & (fin | syn | rst | ack) != syn`: TCP that does not open a connection. */
  | { readonly kind: "tcp-not-syn" }
  /** `socket transparent 1`: somebody's transparent socket on this node takes the packet. */
  | { readonly kind: "socket-transparent" }
  /** `socket mark & MASK == MASK`, the SO_MARK of the socket that takes the packet. */
  | { readonly kind: "socket-mark-has"; readonly mask: number }
  /** `fib saddr type local` / `fib daddr type != local` */
  | { readonly kind: "fib-local"; readonly field: "saddr" | "daddr"; readonly negate?: true }
  /** `iifname != "NAME"`; a trailing `*` matches a prefix. */
  | { readonly kind: "iifname"; readonly name: string; readonly negate?: true }
  /** `ip daddr != PREFIX` / `ip daddr PREFIX` */
  | {
      readonly kind: "prefix";
      readonly field: "saddr" | "daddr";
      readonly prefix: string;
      readonly negate?: true;
    }
  /** `meta mark set meta mark | MASK`, or `& MASK`, or `^ MASK` */
  | { readonly kind: "set-mark"; readonly operator: "|" | "&" | "^"; readonly mask: number }
  /** `ct mark set ct mark | MASK` */
  | { readonly kind: "set-ct-mark"; readonly mask: number }
  /** `meta priority set KEY map @MAP` */
  | { readonly kind: "set-priority"; readonly key: readonly Operand[]; readonly map: string }
  /** `meta priority set meta priority & MASK` */
  | { readonly kind: "mask-priority"; readonly mask: number }
  /** `meta priority set 0` */
  | { readonly kind: "clear-priority" }
  /** `KEY vmap @MAP` */
  | { readonly kind: "vmap"; readonly key: readonly Operand[]; readonly map: string }
  /** `meta l4proto { tcp, udp, sctp } dnat to KEY map @MAP`; map data is `daddr . th dport` */
  | { readonly kind: "dnat"; readonly key: readonly Operand[]; readonly map: string }
  /**
   * `meta l4proto tcp tproxy to 127.0.0.1:PORT` ([::1] for ip6); ends the rule when nobody listens
   * there, transparently.
   */
  | { readonly kind: "tproxy"; readonly port: number }
  /** `ether daddr set ADDRESS` */
  | { readonly kind: "set-ether-daddr"; readonly address: string }
  /** `meta pkttype set host`: the frame was for this host all along. */
  | { readonly kind: "set-pkttype-host" }
  /** `fwd to "NAME"`: out of that interface, from layer netdev. The kernel wants its number. */
  | { readonly kind: "forward-to"; readonly name: string; readonly index: number }
  /** `masquerade fully-random` */
  | { readonly kind: "masquerade" }
  /** `reject with icmp port-unreachable` (icmpv6 for ip6) */
  | { readonly kind: "reject" }
  /** `meta l4proto tcp reject with tcp reset`; the kernel limits ICMP errors, but not resets. */
  | { readonly kind: "reset-tcp" }
  /** `update @MAP { KEY timeout Ns : meta priority }` or `delete @MAP { KEY : meta priority }` */
  | {
      readonly kind: "remember";
      readonly operation: "update" | "delete";
      readonly key: readonly Operand[];
      readonly map: string;
      readonly timeoutSeconds?: number;
    }
  /**
   * `limit rate N/second log prefix "PREFIX" group GROUP`: tells whoever listens to that group of
   * nfnetlink_log. Ends the rule for packets over the limit.
   */
  | {
      readonly kind: "log";
      readonly prefix: string;
      readonly group: number;
      readonly perSecond: number;
    }
  /** `counter name "NAME"`: the packet counts. */
  | { readonly kind: "count"; readonly counter: string }
  | { readonly kind: "verdict"; readonly verdict: Verdict };

export type Rule = readonly Statement[];

/** One change to a table. Order within a transaction is the order of application. */
export type Change =
  | { readonly kind: "add-table"; readonly comment?: string }
  | { readonly kind: "delete-table" }
  | { readonly kind: "add-set"; readonly set: SetSpec }
  | { readonly kind: "delete-set"; readonly set: string }
  /** A counter that rules name; one that exists goes on counting. */
  | { readonly kind: "add-counter"; readonly counter: string }
  | { readonly kind: "add-chain"; readonly chain: ChainSpec }
  | { readonly kind: "flush-chain"; readonly chain: string }
  | { readonly kind: "delete-chain"; readonly chain: string }
  | { readonly kind: "add-rule"; readonly chain: string; readonly rule: Rule }
  | { readonly kind: "add-elements"; readonly set: SetSpec; readonly elements: readonly Element[] }
  | { readonly kind: "delete-elements"; readonly set: SetSpec; readonly keys: readonly string[] };

/** Changes to one table that take effect together or not at all. Does nothing until committed. */
export interface Transaction {
  readonly family: Family;
  /** @default the family's own layer */
  readonly layer?: Layer;
  readonly table: string;
  readonly changes: readonly Change[];
}

/** What a table holds in the kernel, decoded; the shape that audits and restarts compare with. */
export interface TableContents {
  /** By set name, then element key; elements that come or go by themselves are left out. */
  readonly sets: ReadonlyMap<string, ReadonlyMap<string, Element>>;
  /**
   * By chain name: one opaque text per rule, in order, equal for equal rules of one kernel.
   * Differs between backends, so compare only what the same door returned. A policy that drops
   * counts as a last rule; chains of a dormant table have no rules: none is in force.
   */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** A table in short: enough to say whether it holds what it should. */
export interface TableDigest {
  /** By set name: the `ElementDigest` of its elements, as in `TableContents`. */
  readonly sets: ReadonlyMap<string, string>;
  /** As in `TableContents`. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** The door to nf_tables. One contract suite runs against every implementation. */
export interface NftKernel {
  /**
   * Applies the transactions in order as one atomic batch.
   * @throws NftError when the kernel refuses; nothing has changed then
   */
  commit(transactions: readonly Transaction[]): Promise<void>;
  /** Reads one table; undefined when it does not exist. Never called on the sync path. */
  read(place: Place, table: string): Promise<TableContents | undefined>;
  /** Reads one table and returns only its digest; undefined when it does not exist. */
  digest(place: Place, table: string): Promise<TableDigest | undefined>;
  /**
   * Reads only the rules of a table, as `TableContents.chains`; empty when it does not exist.
   * @param only these chains, whether or not they are there; nothing else is looked at
   */
  readRules(
    place: Place,
    table: string,
    only?: readonly string[],
  ): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Packets that each counter of a table has seen; empty when there is no such table. */
  readCounters(place: Place, table: string): Promise<ReadonlyMap<string, number>>;
  /** The ruleset generation: grows by one with each commit by anybody in this namespace. */
  generation(): Promise<number>;
  close(): Promise<void>;
}

/** The kernel refused a batch, or could not be asked. `code` is the errno name, as in `ENOENT`. */
export class NftError extends Error {
  override readonly name = "NftError";
  readonly code: string;

  constructor(action: string, code: string, options?: { detail?: string; cause?: unknown }) {
    const detail = options?.detail === undefined ? "" : ` (${options.detail})`;
    super(`Cannot ${action}: kernel returned ${code}${detail}`, { cause: options?.cause });
    this.code = code;
  }
}
