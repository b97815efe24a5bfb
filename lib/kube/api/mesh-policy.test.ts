import assert from "node:assert/strict";
import { test } from "node:test";
import { type MeshPolicy, parseMeshPolicy } from "./mesh-policy.ts";
import { readOk } from "./sample-faults.ts";

const metadata = { name: "default", uid: "u", resourceVersion: "7", generation: 3 };
const all = { matchLabels: {}, matchExpressions: [] };
const web = { matchLabels: { app: "web" }, matchExpressions: [] };
const selector = { matchLabels: { app: "web" } };

function read(spec: unknown): { object: MeshPolicy; told: readonly string[] } {
  return readOk(parseMeshPolicy({ metadata, spec }));
}

test("the default and its exceptions are read", () => {
  const exceptions = [
    { namespaces: ["kube-system"] },
    { namespaceSelector: selector, podSelector: selector },
  ];
  const { object, told } = read({ default: "IdentityRequired", exceptions });
  assert.deepEqual(told, []);
  assert.deepEqual(object, {
    kind: "MeshPolicy",
    ...metadata,
    default: "IdentityRequired",
    exceptions: [
      { namespaces: ["kube-system"], podSelector: all },
      { namespaces: web, podSelector: web },
    ],
  });
});

for (const spec of [undefined, {}, { default: "open" }, { default: ["Open"] }, "Open"]) {
  test(`${JSON.stringify(spec)} says no default, so it is Deny`, () => {
    const { object, told } = read(spec);
    assert.equal(object.default, "Deny");
    assert.match(told.join("\n"), /spec\.default: want Open or IdentityRequired or Deny/);
  });
}

const faulty: readonly unknown[] = [
  null,
  {},
  { podSelector: {} },
  { namespaces: [] },
  { namespaces: ["A"] },
  { namespaces: ["a"], namespaceSelector: {} },
  { namespaceSelector: "all" },
  { namespaceSelector: {}, podSelectors: {} },
  { namespaces: ["a"], podSelector: { matchLabels: { a: 1 } } },
];
for (const exception of faulty) {
  test(`${JSON.stringify(exception)} excepts nobody, and its neighbour does`, () => {
    const exceptions = [exception, { namespaces: ["b"] }];
    const { object, told } = read({ default: "Open", exceptions });
    assert.deepEqual(object.exceptions, [{ namespaces: ["b"], podSelector: all }]);
    assert.match(told.join("\n"), /spec\.exceptions\[0\]/);
  });
}

test("exceptions that are no list, or too many, except nobody", () => {
  for (const exceptions of ["all", Array(1e6).fill({ namespaceSelector: {} })]) {
    assert.deepEqual(read({ default: "Open", exceptions }).object.exceptions, []);
  }
});

test("a policy of another name is told to be of no use", () => {
  const value = { metadata: { name: "other" }, spec: { default: "Open" } };
  const { told } = readOk(parseMeshPolicy(value));
  assert.deepEqual(told, ["metadata.name: want default: others are not read"]);
});
