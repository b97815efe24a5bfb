import assert from "node:assert/strict";
import { test } from "node:test";
import {
  EVERYTHING,
  formatLabelSelector,
  type LabelSelector,
  matchesLabels,
  readLabelSelector,
} from "./label-selector.ts";
import { makeFaults } from "./policy-fields.ts";

const expression = (operator: string, ...values: readonly string[]): object => ({
  matchExpressions: [{ key: "app", operator, ...(values.length > 0 && { values }) }],
});

function read(value: unknown): LabelSelector {
  const told: string[] = [];
  const faults = makeFaults({ add: (field, message) => told.push(`${field}: ${message}`) });
  const selector = readLabelSelector(value, "at", faults);
  assert(selector !== undefined, told.join("\n"));
  assert.deepEqual(told, []);
  return selector;
}

const labels = { web: { app: "web" }, db: { app: "db" }, none: {}, empty: { app: "" } };
const cases: readonly (readonly [unknown, readonly (keyof typeof labels)[], string])[] = [
  [{}, ["web", "db", "none", "empty"], ""],
  [{ matchLabels: null, matchExpressions: [] }, ["web", "db", "none", "empty"], ""],
  [{ matchLabels: { app: "web" } }, ["web"], "app=web"],
  [{ matchLabels: { app: "" } }, ["empty"], "app="],
  [expression("In", "web"), ["web"], "app=web"],
  [expression("In", "web", "db", "web"), ["web", "db"], "app in (db,web)"],
  [expression("NotIn", "web"), ["db", "none", "empty"], "app!=web"],
  [expression("NotIn", "web", "db"), ["none", "empty"], "app notin (db,web)"],
  [expression("Exists"), ["web", "db", "empty"], "app"],
  [expression("DoesNotExist"), ["none"], "!app"],
  [{ matchLabels: { app: "web", "x.io/tier": "a" } }, [], "app=web,x.io/tier=a"],
  [{ matchLabels: { app: "web" }, ...expression("NotIn", "web") }, [], "app!=web,app=web"],
];
for (const [value, expected, text] of cases) {
  test(`${JSON.stringify(value)} selects ${expected.join(", ")}`, () => {
    const selector = read(value);
    const found = Object.entries(labels).filter(([, one]) => matchesLabels(selector, one));
    assert.deepEqual(
      found.map(([name]) => name),
      expected,
    );
    assert.equal(formatLabelSelector(selector), text);
  });
}

test("a label that no pod has is not found in what every record inherits", () => {
  assert.equal(matchesLabels(read({ matchLabels: { constructor: "x" } }), {}), false);
  const there = { matchExpressions: [{ key: "toString", operator: "Exists" }] };
  assert.equal(matchesLabels(read(there), {}), false);
});

test("an absent selector of everything selects all and is nothing as text", () => {
  assert.equal(matchesLabels(EVERYTHING, {}), true);
  assert.equal(formatLabelSelector(EVERYTHING), "");
});

const faulty: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /at: want an object: got undefined/],
  ["app=web", /at: want an object/],
  [{ matchLabel: { app: "web" } }, /no other fields than matchLabels, matchExpressions/],
  [{ matchLabels: [] }, /at\.matchLabels: want an object: got a list/],
  [{ matchLabels: { app: 1 } }, /want a label's value: got 1/],
  [{ matchLabels: { app: "a b" } }, /want a label's value: got "a b"/],
  [{ matchLabels: { "a\u0000b": "x" } }, /want a label's key: got "a\\u0000b"/],
  [JSON.parse('{"matchLabels":{"__proto__":"x"}}'), /want a label's key/],
  [{ matchLabels: { [`${"a".repeat(64)}`]: "x" } }, /want a label's key/],
  [{ matchExpressions: {} }, /at\.matchExpressions: want a list: got an object/],
  [{ matchExpressions: [null] }, /at\.matchExpressions\[0\]: want an object: got null/],
  [expression("in", "a"), /operator: want In or NotIn or Exists or DoesNotExist: got "in"/],
  [expression("In"), /values: want one or more with In/],
  [expression("NotIn"), /values: want one or more with NotIn/],
  [expression("Exists", "a"), /values: want none with Exists/],
  [{ matchExpressions: [{ operator: "Exists" }] }, /key: want a label's key/],
  [{ matchExpressions: Array(1e6).fill({}) }, /want at most 256 items: got 1000000/],
];
for (const [value, expected] of faulty) {
  test(`no selector comes of ${JSON.stringify(value)?.slice(0, 60)}`, () => {
    const told: string[] = [];
    const faults = makeFaults({ add: (field, message) => told.push(`${field}: ${message}`) });
    assert.equal(readLabelSelector(value, "at", faults), undefined);
    assert.equal(faults.any, true);
    assert.match(told.join("\n"), expected);
  });
}
