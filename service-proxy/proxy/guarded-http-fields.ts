// The header fields of a request, in the ways in which servers are known to read a name that comes
// twice: its lines as one list, or one of them alone. Some take `x_role` for `x-role` as well.

import type { RequestHead } from "../../lib/http/message.ts";

/** Value of a name; undefined where it has no line. @param name lower-case */
export type ReadField = (name: string) => string | undefined;

/** Lines of one name that are read one by one. */
const MOST_LINES = 16;

export class FieldReadings {
  readonly #fields: RequestHead["fields"];
  /** Made once: rules may ask for the same names thousands of times. */
  #lines: ReadonlyMap<string, readonly string[]> | undefined;
  /** Of any name that was asked for. */
  #mostLines = 0;
  /** Readings of single lines so far. */
  #singles = 0;

  constructor({ fields }: Pick<RequestHead, "fields">) {
    this.#fields = fields;
  }

  /** Some name that was asked for has more lines than are read. */
  get isCut(): boolean {
    return this.#mostLines > MOST_LINES;
  }

  /** The reading that was given last is followed by another one, unless that is not wanted. */
  get hasMore(): boolean {
    return this.#mostLines > 1 && this.#singles < this.#mostLines;
  }

  /** All that there are, going by the names that were asked for while the first was used. */
  *all(): Generator<ReadField> {
    yield (name) => {
      const [only, ...more] = this.#linesOf(name);
      return more.length === 0 ? only : [only, ...more].join();
    };
    if (this.#mostLines < 2 || this.isCut) return;
    for (let i = 0; i < this.#mostLines; i++) {
      this.#singles++;
      yield (name) => {
        const lines = this.#linesOf(name);
        return lines[i] ?? lines.at(-1);
      };
    }
  }

  #linesOf(name: string): readonly string[] {
    this.#lines ??= linesByName(this.#fields);
    const lines = this.#lines.get(withDashes(name)) ?? NONE;
    if (lines.length > this.#mostLines) this.#mostLines = lines.length;
    return lines;
  }
}

const NONE: readonly string[] = [];

function linesByName(fields: RequestHead["fields"]): ReadonlyMap<string, readonly string[]> {
  const lines = new Map<string, string[]>();
  for (let i = 0; i < fields.length; i += 2) {
    const name = withDashes(fields[i] ?? "");
    const value = fields[i + 1] ?? "";
    const known = lines.get(name);
    if (known === undefined) lines.set(name, [value]);
    else known.push(value);
  }
  return lines;
}

function withDashes(name: string): string {
  return name.includes("_") ? name.replaceAll("_", "-") : name;
}
