// One copy of what repeats. A cluster's 100,000 endpoints name a few thousand nodes and a few
// zones, its 10,000 pods wear a few hundred sets of labels, and JSON.parse makes new ones every
// time.

export type Intern = (text: string) => string;
export type Labels = Readonly<Record<string, string>>;

/** More different values than this are passed through: the table must not outgrow its use. */
export const MAX_INTERNED = 20_000;

export function makeIntern(): Intern {
  return makeTable((text) => text);
}

/** Values of the same text in the same order are one: an API server sorts what has no order. */
export function makeJsonIntern<T>(): (value: T) => T {
  return makeTable((value) => JSON.stringify(value));
}

/** Interns nothing. */
export const noIntern: Intern = (text) => text;

function makeTable<T>(keyOf: (value: T) => string): (value: T) => T {
  const known = new Map<string, T>();
  return (value) => {
    const key = keyOf(value);
    const first = known.get(key);
    if (first !== undefined) return first;
    if (known.size < MAX_INTERNED) known.set(key, value);
    return value;
  };
}
