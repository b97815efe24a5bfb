import assert from "node:assert/strict";
import { test } from "node:test";
import { transcribe } from "./h1-case-transcript.ts";
import { REQUESTS } from "./h1-parser.ts";
import { SMUGGLING_CASES, type SmugglingOutcome } from "./h1-smuggling-cases.ts";

for (const { name, bytes, outcome } of SMUGGLING_CASES) {
  test(`one reading or none: ${name}`, () => {
    assert.deepEqual(outcomeOf([bytes]), outcome);
  });
}

test("the reading does not depend on how the bytes come", () => {
  for (const { name, bytes, outcome } of SMUGGLING_CASES) {
    if (bytes.length > 1_000) continue;
    assert.deepEqual(outcomeOf(Array.from(bytes)), outcome, name);
  }
});

function outcomeOf(pieces: readonly string[]): SmugglingOutcome | undefined {
  const { messages, problem } = transcribe(REQUESTS, pieces, { closes: true });
  const complete = messages.filter(({ trailers }) => trailers !== undefined);
  if (problem !== undefined && complete.length === 0) {
    return { kind: "refused", status: problem.status };
  }
  const [message] = complete;
  if (message === undefined || messages.length > 1 || problem !== undefined) return undefined;
  const { method, authority, path } = message.head;
  return { kind: "one", line: `${method} ${authority} ${path}`, body: message.body };
}
