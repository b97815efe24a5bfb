// What `iptables-save` prints, as far as whole chains and jumps between them are concerned.

export interface SavedRule {
  readonly chain: string;
  /** Everything behind `-A CHAIN `, word for word: `-D` with it deletes this rule. */
  readonly specification: string;
  /** Where `-j` or `-g` leads: a chain, or a target such as DNAT. */
  readonly target?: string;
}

export interface SavedTable {
  readonly name: string;
  /** Chain → policy; "-" for chains that are not built in. */
  readonly chains: ReadonlyMap<string, string>;
  readonly rules: readonly SavedRule[];
}

/**
 * Reads the output of `iptables-save`, with or without counters. Never throws: comments, and
 * lines it does not know, are passed over.
 */
export function parseIptablesSave(text: string): readonly SavedTable[] {
  const tables: SavedTable[] = [];
  let chains = new Map<string, string>();
  let rules: SavedRule[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      chains = new Map();
      rules = [];
      tables.push({ name: line.slice(1).trim(), chains, rules });
    } else if (line.startsWith(":")) {
      const [chain = "", policy = "-"] = line.slice(1).split(" ");
      chains.set(chain, policy);
    } else {
      const rule = parseRule(line);
      if (rule !== undefined) rules.push(rule);
    }
  }
  return tables;
}

function parseRule(line: string): SavedRule | undefined {
  const match = /^(?:\[\d+:\d+\] )?-A (\S+) ?(.*)$/.exec(line);
  const chain = match?.[1];
  const specification = match?.[2];
  if (chain === undefined || specification === undefined) return undefined;
  const target = targetOf(specification);
  return { chain, specification, ...(target === undefined ? {} : { target }) };
}

/** Quoted words are stepped over: a comment may say `-j` too. */
function targetOf(specification: string): string | undefined {
  const words = specification.match(/"(?:\\.|[^"\\])*"|\S+/g) ?? [];
  const at = words.findIndex((word) => word === "-j" || word === "-g");
  return at < 0 ? undefined : words[at + 1];
}
