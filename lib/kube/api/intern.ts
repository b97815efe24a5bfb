// One copy of each repeated string. A cluster's 100,000 endpoints name a few thousand nodes and
// a few zones, and JSON.parse makes a new string every time.

export type Intern = (text: string) => string;

/** More different strings than this are passed through: the table must not outgrow its use. */
export const MAX_INTERNED = 20_000;

export function makeIntern(): Intern {
  const known = new Map<string, string>();
  return (text) => {
    const first = known.get(text);
    if (first !== undefined) return first;
    if (known.size < MAX_INTERNED) known.set(text, text);
    return text;
  };
}

/** Interns nothing. */
export const noIntern: Intern = (text) => text;
