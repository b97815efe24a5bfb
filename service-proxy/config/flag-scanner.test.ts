import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as check, property, string } from "fast-check";
import { type KnownFlags, scanFlags } from "./flag-scanner.ts";

const names = ["config", "cleanup", "proxy-mode", "v", "help"];
const known: KnownFlags = {
  has: (name) => names.includes(name),
  valueOptional: (name) => name === "cleanup" || name === "help",
  longName: (letter) => (letter === "h" ? "help" : undefined),
  names,
};

function scan(line: string) {
  const { texts, problems } = scanFlags(line === "" ? [] : line.split(" "), known);
  return {
    texts: Object.fromEntries(texts),
    problems: problems.map(({ where, message }) => `${where} ${message}`),
  };
}

test("values follow a space or an equals sign", () => {
  assert.deepEqual(scan("--proxy-mode auto --config=a=b").texts, {
    "proxy-mode": ["auto"],
    config: ["a=b"],
  });
});

test("booleans need no value and never take the next argument", () => {
  const { texts, problems } = scan("--cleanup false");
  assert.deepEqual(texts, { cleanup: ["true"] });
  assert.match(problems.join(), /^"false" is not a flag; give booleans as --flag=false/);
});

test("underscores in names count as dashes", () => {
  assert.deepEqual(scan("--proxy_mode=x_y").texts, { "proxy-mode": ["x_y"] });
});

for (const line of ["-v4", "-v=4", "-v 4", "--v 4", "--v=4"]) {
  test(`${line} sets the verbosity`, () => assert.deepEqual(scan(line).texts, { v: ["4"] }));
}

test("-h asks for help", () => assert.deepEqual(scan("-h").texts, { help: ["true"] }));

test("repeated flags keep every text in order", () => {
  assert.deepEqual(scan("-v 1 -v 2").texts, { v: ["1", "2"] });
});

test("a value is taken whatever it looks like, as pflag does", () => {
  assert.deepEqual(scan("--config --cleanup").texts, { config: ["--cleanup"] });
});

test("an empty value is a value", () =>
  assert.deepEqual(scan("--config=").texts, { config: [""] }));

test("a flag without its value is a problem", () => {
  assert.deepEqual(scan("--config").problems, ["--config needs a value"]);
});

test("an unknown flag names its nearest neighbour", () => {
  assert.deepEqual(scan("--proxy-mod=x").problems, [
    "--proxy-mod is not a flag; did you mean --proxy-mode?",
  ]);
  assert.deepEqual(scan("--zzzzzzzzz").problems, ["--zzzzzzzzz is not a flag; --help lists them"]);
});

test("nothing after -- is a flag", () => {
  assert.equal(scan("-- --cleanup x").problems.length, 2);
  assert.deepEqual(scan("-- --cleanup").texts, {});
});

test("any arguments at all are scanned without throwing", () => {
  check(property(array(string()), (argv) => void scanFlags(argv, known)));
});
