// The digest of a whole table, from its contents.

import { digestOf } from "./digest.ts";
import type { TableContents, TableDigest } from "./objects.ts";

export function digestTable({ sets, chains }: TableContents): TableDigest {
  const digests = [...sets].map(([name, elements]) => [name, digestOf(elements.values())] as const);
  return { sets: new Map(digests), chains };
}
