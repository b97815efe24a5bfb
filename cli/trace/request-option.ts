// The request that a person asks about, from the command line's words.

import type { RequestHead } from "../../lib/http/message.ts";
import { WrongUse } from "../exit.ts";

/**
 * Reads `--request "GET /path"` and `--header name:value`.
 * @param host of a request whose headers name none
 * @throws WrongUse
 */
export function parseRequest(text: string, headers: readonly string[], host: string): RequestHead {
  const match = /^(?:([A-Z]+) +)?(\/\S*|\*)$/.exec(text.trim());
  if (match === null) {
    throw new WrongUse(`Cannot read --request "${text}": write it as "GET /path"`);
  }
  const fields = headers.map(parseHeader);
  const authority = fields.find(([name]) => name === "host")?.[1] ?? host;
  return {
    method: match[1] ?? "GET",
    authority,
    path: match[2] ?? "/",
    fields: fields.filter(([name]) => name !== "host").flat(),
  };
}

function parseHeader(text: string): readonly [name: string, value: string] {
  const match = /^([!#$%&'*+.^_`|~\w-]+):(.*)$/.exec(text);
  if (match === null) throw new WrongUse(`Cannot read --header "${text}": write name:value`);
  return [(match[1] ?? "").toLowerCase(), (match[2] ?? "").trim()];
}
