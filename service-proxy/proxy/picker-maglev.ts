// Maglev hashing (Eisenbud and others, NSDI 2016): a table that every endpoint fills in an order of
// its own, taking turns. Even to about n / TABLE_SIZE, and one endpoint less moves few other keys.

import { hashText, mixBits } from "./picker-hash.ts";

/**
 * Prime, and one for all: another size would move every key. 32 KiB; shares are even within 1 % up
 * to 160 endpoints.
 */
const TABLE_SIZE = 16_381;
/** Tries in the table before the endpoints are walked. */
const MOST_TRIES = 8;

/** Finds the owner of a hash among those accepted; undefined when none is. */
export type HashOwner<T> = (hash: number, accept: (member: T) => boolean) => T | undefined;

/**
 * @param members each with a key of its own; their order does not matter
 * @returns a refused owner's keys are spread over the others
 */
export function makeMaglevTable<T extends { readonly key: string }>(
  members: readonly T[],
): HashOwner<T> {
  const sorted = [...members].sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, TABLE_SIZE);
  const table = fillTable(sorted.map(({ key }) => key));
  return (hash, accept) => {
    let tried = hash >>> 0;
    for (let i = 0; i < MOST_TRIES; i++) {
      const member = sorted[table[tried % TABLE_SIZE] ?? 0];
      if (member === undefined || accept(member)) return member;
      tried = mixBits(tried + 1);
    }
    for (let i = 0; i < sorted.length; i++) {
      const member = sorted[(tried + i) % sorted.length];
      if (member !== undefined && accept(member)) return member;
    }
    return undefined;
  };
}

function fillTable(keys: readonly string[]): Uint16Array {
  const table = new Uint16Array(TABLE_SIZE);
  if (keys.length === 0) return table;
  const taken = new Uint8Array(TABLE_SIZE);
  const next = Uint32Array.from(keys, (key) => hashText(key) % TABLE_SIZE);
  const skip = Uint32Array.from(keys, (key) => (hashText(key, 1) % (TABLE_SIZE - 1)) + 1);
  let index = 0;
  for (let filled = 0; filled < TABLE_SIZE; filled++) {
    const step = skip[index] ?? 1;
    let place = next[index] ?? 0;
    // A prime size and any step visit every place: a free one is found.
    while (taken[place] === 1) place = (place + step) % TABLE_SIZE;
    taken[place] = 1;
    table[place] = index;
    next[index] = (place + step) % TABLE_SIZE;
    index = index + 1 === keys.length ? 0 : index + 1;
  }
  return table;
}
