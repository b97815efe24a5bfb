import assert from "node:assert/strict";
import { test } from "node:test";
import { assert as check, property, string } from "fast-check";
import { readConfigurationFile } from "./configuration-file.ts";
import { formatSettingProblem } from "./setting-problem.ts";

const fruit = {
  apiVersion: "food/v1",
  kind: "Fruit",
  fields: new Set(["name", "size.min", "map"]),
};
const root = { apiVersion: "food/v1", kind: "Root", fields: new Set(["depth"]) };

function read(text: string) {
  const file = readConfigurationFile("f.yaml", text, [fruit, root]);
  const values: Record<string, unknown> = {};
  for (const [kind, fields] of file.values) {
    for (const [field, { where, value }] of fields) values[`${kind} ${field}`] = [where, value];
  }
  return {
    values,
    warnings: file.warnings.map(formatSettingProblem),
    errors: file.errors.map(formatSettingProblem),
  };
}

const HEAD = "apiVersion: food/v1\nkind: Fruit\n";

test("fields come with the line they stand on", () => {
  const { values, warnings, errors } = read(`${HEAD}size:\n  min: 3\nmap: {a: 1}\n`);
  assert.deepEqual(values, {
    "Fruit size.min": ["f.yaml:4 size.min", 3],
    "Fruit map": ["f.yaml:5 map", { a: 1 }],
  });
  assert.deepEqual([warnings, errors], [[], []]);
});

test("documents may come in any order, and empty ones do not count", () => {
  const { values, errors } = read(
    `---\n---\napiVersion: food/v1\nkind: Root\ndepth: 1\n---\n${HEAD}`,
  );
  assert.deepEqual(values, { "Root depth": ["f.yaml:5 depth", 1] });
  assert.deepEqual(errors, []);
});

test("JSON is read too", () => {
  const { values } = read(`{"apiVersion":"food/v1","kind":"Fruit","name":"fig"}`);
  assert.deepEqual(values, { "Fruit name": ["f.yaml:1 name", "fig"] });
});

test("unknown fields are warned about with path and line, at any depth", () => {
  assert.deepEqual(read(`${HEAD}nmae: x\nsize:\n  max: 1\n`).warnings, [
    "f.yaml:3 nmae: is not a known field; it is ignored",
    "f.yaml:5 size.max: is not a known field; it is ignored",
  ]);
});

test("null means not set, also for a whole section", () => {
  const { values, warnings, errors } = read(`${HEAD}name: null\nsize:\n`);
  assert.deepEqual([values, warnings, errors], [{}, [], []]);
});

test("a field given twice is warned about; the last one counts", () => {
  const { values, warnings } = read(`${HEAD}name: a\nname: b\n`);
  assert.deepEqual(values, { "Fruit name": ["f.yaml:4 name", "b"] });
  assert.deepEqual(warnings, ["f.yaml:4 name: is given twice; the last one counts"]);
});

test("a value where a section belongs is an error", () => {
  assert.deepEqual(read(`${HEAD}size: 3\n`).errors, ["f.yaml:3 size: must be a map of fields"]);
});

test("yes and no are booleans, as in Go's YAML", () => {
  assert.deepEqual(read(`${HEAD}name: yes\n`).values, { "Fruit name": ["f.yaml:3 name", true] });
});

test("anchors are followed, but a bomb of aliases is refused", () => {
  assert.deepEqual(read(`${HEAD}map: &m {a: 1}\nsize: *m\n`).warnings, [
    "f.yaml:3 size.a: is not a known field; it is ignored",
  ]);
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (let i = 0; i < 8; i++) {
    const [before, name] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)];
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join()}]`);
  }
  const { errors } = read(`${HEAD}map:\n  ${bomb.join("\n  ")}\n`);
  assert.deepEqual(errors, ["f.yaml:3 map: uses more than 100 aliases"]);
});

test("what is no YAML is an error with its line", () => {
  assert.match(read(`${HEAD}name: [\n`).errors.join(), /^f\.yaml:\d: is not YAML: /);
});

test("a document of another kind is an error that names the kinds expected", () => {
  assert.deepEqual(read("kind: Fruit\n").errors, [
    'f.yaml:1: has kind "Fruit" of apiVersion undefined; expected Fruit food/v1 or Root food/v1',
  ]);
  assert.match(read("- a\n").errors.join(), /^f\.yaml:1: is not a map of fields/);
  assert.match(read("").errors.join(), /^f\.yaml: holds no document/);
});

test("a second document of the same kind is an error", () => {
  assert.deepEqual(read(`${HEAD}---\n${HEAD}`).errors, ["f.yaml:4: is a second Fruit; keep one"]);
});

test("any text at all is read without throwing", () => {
  check(property(string(), (text) => void read(text)));
  check(property(string(), (text) => void read(`${HEAD}${text}`)));
});
