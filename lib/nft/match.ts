// Statements are of two sorts: some only ask about a packet, the others act.

import type { Statement } from "./objects.ts";

const KINDS = [
  "in-set",
  "in-list",
  "mark-has",
  "ct-new",
  "ct-known",
  "ct-dnat",
  "ct-snat",
  "ct-mark-has",
  "ct-reply",
  "l4proto",
  "frame-of-family",
  "frame-of-arp",
  "frame-tagged",
  "icmpv6-type",
  "tcp-dport",
  "tcp-not-syn",
  "socket-transparent",
  "socket-mark-has",
  "fib-local",
  "iifname",
  "prefix",
] as const;

/** The statements that only ask. */
export type Match = Extract<Statement, { readonly kind: (typeof KINDS)[number] }>;

export function isMatch(statement: Statement): statement is Match {
  const kinds: readonly string[] = KINDS;
  return kinds.includes(statement.kind);
}
