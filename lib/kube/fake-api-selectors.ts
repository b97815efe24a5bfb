// Label and field selectors, as far as this project uses them.

import assert from "node:assert/strict";
import { asRecord, type JsonRecord } from "./api/fields.ts";

export type Selects = (object: JsonRecord) => boolean;

/** Understands `key`, `!key`, `key=value` and `key!=value`, joined by commas. */
export function parseLabelSelector(text: string): Selects {
  return all(text, (term) => {
    const absent = /^!([^=]+)$/.exec(term)?.[1];
    if (absent !== undefined) return (object) => labelOf(object, absent) === undefined;
    const { key, negated, value } = parseTerm(term);
    if (value === undefined) return (object) => labelOf(object, key) !== undefined;
    return (object) => (labelOf(object, key) === value) !== negated;
  });
}

/** Understands `path=value` and `path!=value`, joined by commas. */
export function parseFieldSelector(text: string): Selects {
  return all(text, (term) => {
    const { key, negated, value } = parseTerm(term);
    return (object) => ((fieldOf(object, key) ?? "") === value) !== negated;
  });
}

function all(text: string, parse: (term: string) => Selects): Selects {
  const terms = text.split(",").filter((term) => term !== "");
  const selects = terms.map(parse);
  return (object) => selects.every((one) => one(object));
}

function parseTerm(term: string): { key: string; negated: boolean; value: string | undefined } {
  const match = /^([^!=]+)(?:(!?)==?(.*))?$/.exec(term);
  assert.ok(match, `the fake cannot read selector "${term}"`);
  return { key: match[1] ?? "", negated: match[2] === "!", value: match[3] };
}

function labelOf(object: JsonRecord, key: string): unknown {
  return asRecord(asRecord(object["metadata"])["labels"])[key];
}

function fieldOf(object: JsonRecord, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => asRecord(value)[name], object);
}
