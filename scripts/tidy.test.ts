// The house rules of STYLE.md as tests. Each rule runs over the whole checkout, and over a small
// broken tree beside it, so that a rule which notices nothing cannot pass.

import assert from "node:assert/strict";
import { relative } from "node:path/posix";
import { suite, test } from "node:test";
import { readCheckout } from "./checkout.ts";
import {
  DIRECTIONS,
  directionProblems,
  HARMLESS_USES,
  libCycleProblems,
  unusedProblems,
} from "./directions.ts";
import { parseSourceFacts, readSourceFacts, type SourceFacts } from "./source-facts.ts";
import { ROOT } from "./steps.ts";
import {
  bannedProblems,
  dependencyProblems,
  headerProblems,
  LIMITS,
  linkProblems,
  lockfileProblems,
  longFiles,
  nameProblems,
  readmeCommandProblems,
  readmeProblems,
  sizeProblems,
  type TextFile,
  wordProblems,
} from "./tree-rules.ts";

interface Tree {
  readonly files: readonly TextFile[];
  readonly sources: readonly SourceFacts[];
}

interface Rule {
  /** What holds, as a sentence. */
  readonly claim: string;
  readonly problems: (tree: Tree) => readonly string[];
  /** A tree that breaks the rule, and the start of each problem that must be found in it. */
  readonly broken: Readonly<Record<string, string>>;
  readonly found: readonly string[];
}

const long = (lines: number): string => "1;\n".repeat(lines);

const RULES: readonly Rule[] = [
  {
    claim: "files, functions and lines keep their limits",
    problems: ({ sources }) => sizeProblems(sources),
    broken: {
      "a.ts": long(LIMITS.fileLines + 1),
      "b.ts": `function f() {\n${long(LIMITS.functionLines)}}\n`,
      "c.ts": `// ${"x".repeat(LIMITS.columns)}\n`,
      "testdata/d.ts": long(LIMITS.fileLines + 1),
      "e.ts": `describe("table", () => {\n${long(LIMITS.functionLines)}});\n`,
    },
    found: ["a.ts: 501 lines", "b.ts:1 f: 72 lines", "c.ts:1 103 columns"],
  },
  {
    claim: "files are named for an idea, in kebab-case, at most three folders deep",
    problems: ({ files }) => nameProblems(files.map(({ path }) => path)),
    broken: Object.fromEntries(
      ["lib/ip/index.ts", "lib/utils/a.ts", "lib/types.ts", "lib/prefixMap.ts", "a/b/c/d/e.ts"].map(
        (path) => [path, ""],
      ),
    ),
    found: [
      "a/b/c/d/e.ts",
      "lib/ip/index.ts",
      "lib/prefixMap.ts",
      "lib/types.ts",
      "lib/utils/a.ts",
    ],
  },
  {
    claim: "each file opens with what it knows",
    problems: ({ sources }) => headerProblems(sources),
    broken: {
      "a.ts": 'import "node:fs";\n',
      "a.test.ts": 'import "./a.ts";\n',
      "b.ts": "// Knows b.\n",
      "c.ts": "#!/bin/x\n1;\n",
      "d.test.ts": "1;\n",
    },
    found: ["a.ts", "c.ts", "d.test.ts"],
  },
  {
    claim: "types stay honest and erasable",
    problems: ({ sources }) => bannedProblems(sources),
    broken: {
      "a.ts": [
        "export const a = (b: any) => b!;",
        "enum C {}",
        "namespace D {}",
        "export default 1;",
        'export { x } from "./x.ts";',
        "class E extends F { constructor(readonly g: 1) { super(); } private h = 1; }",
        "class I extends TypeError { private constructor() { super(); } }",
        "export default function j() {}",
      ].join("\n"),
    },
    found: [
      "a.ts:1 any",
      "a.ts:1 non-null",
      "a.ts:2 enum",
      "a.ts:3 namespace",
      "a.ts:4 default",
      "a.ts:5 re-export",
      "a.ts:6 extends F",
      "a.ts:6 parameter property",
      "a.ts:6 private instead",
      "a.ts:8 default",
    ],
  },
  {
    claim: "imports and doors follow the directions",
    problems: ({ sources }) => directionProblems(sources),
    broken: {
      "lib/ip/a.ts": 'import "node:fs";\nconst b = Date.now() + Math.random();\nprocess.exit();\n',
      "lib/ip/address.ts": 'import { isIP } from "node:net";\nsetTimeout(isIP, 1);\n',
      "lib/ip/a.test.ts": 'import "node:fs";\nconst b = Date.now();\n',
      "service-proxy/main.ts": 'import "../netpol-identity/main.ts";\nconst b = new Date();\n',
    },
    found: [
      "lib/ip/a.ts:1 uses node:fs",
      "lib/ip/a.ts:2 uses Date.now",
      "lib/ip/a.ts:2 uses Math.random",
      "lib/ip/a.ts:3 uses process",
      "lib/ip/address.ts:2 uses setTimeout",
    ],
  },
  {
    claim: "the children of lib do not import each other in circles",
    problems: ({ sources }) => libCycleProblems(sources),
    broken: {
      "lib/a/x.ts": 'import "../b/y.ts";',
      "lib/b/y.ts": 'import "../c/z.ts";',
      "lib/c/z.ts": 'await import("../a/w.ts");',
      "lib/d/v.ts": 'import "../a/x.ts";',
    },
    found: ["lib/a", "lib/b", "lib/c"],
  },
  {
    claim: "every file is used, and product files not by tests alone",
    problems: ({ sources }) => unusedProblems(sources),
    broken: {
      "lib/a/lone.ts": "",
      "lib/a/tested.ts": "",
      "lib/a/fake-clock.ts": "",
      "lib/a/worker.ts": "",
      "lib/a/a.test.ts": 'import "./tested.ts"; import "./fake-clock.ts";',
      "roles/node.ts": 'new Worker(new URL("./worker.ts", import.meta.url));',
    },
    found: ["lib/a/lone.ts: nobody", "lib/a/tested.ts: only tests"],
  },
  {
    claim: "features and children of lib explain themselves in under 40 lines",
    problems: ({ files }) => readmeProblems(files),
    broken: { "lib/ip/a.ts": "", "service-proxy/README.md": "\n".repeat(LIMITS.readmeLines) },
    found: ["lib/ip: has no README.md", "service-proxy/README.md: 40 lines"],
  },
  {
    claim: "relative links of the documents lead somewhere",
    problems: ({ files }) => linkProblems(files),
    broken: {
      "docs/a.md": "[b](../lib/b.ts) [c](c.md#part) [d](https://d.example) [e](../lib/) [f](#f)",
      "lib/b.ts": "",
    },
    found: ["docs/a.md: c.md"],
  },
  {
    claim: "no open task without its issue, no registry, no path of one machine",
    problems: ({ files }) => wordProblems(files),
    broken: {
      "a.md": ["TO" + "DO later", "TO" + "DO(#12) later"].join("\n"),
      "b.txt": `https://registry${"."}npmjs.org/yaml`,
      "c.sh": `cd ${"/"}work/main && ls examples/work/a`,
      "d.md": `see ..${"/"}shared/notes`,
    },
    found: ["a.md:1", "b.txt:1", "c.sh:1", "d.md:1"],
  },
  {
    claim: "each package that runs in production is pinned and has its reason",
    problems: ({ files }) =>
      dependencyProblems(
        textOf(files, "package.json"),
        textOf(files, "scripts/dependencies.golden"),
      ),
    broken: {
      "package.json": '{"dependencies":{"a":"1.0.0","b":"^1.0.0"},"devDependencies":{"c":"1.0.0"}}',
      "scripts/dependencies.golden": "# name and reason\nb  because\nd  because\na\n",
    },
    found: ["a: no reason", "b: ^1.0.0 is not one version", "d: in dependencies.golden"],
  },
  {
    claim: "the lockfile is whole, pins content and names no registry",
    problems: ({ files }) => lockfileProblems(textOf(files, "package-lock.json")),
    broken: {
      "package-lock.json": JSON.stringify({
        packages: {
          "": {},
          "node_modules/a": { integrity: "x", resolved: "y" },
          "node_modules/b": { os: "linux", cpu: ["x64"] },
          "node_modules/c": { integrity: "x", optionalDependencies: { a: "1", d: "1", e: "1" } },
          "node_modules/e": { os: ["darwin"], cpu: ["x64"] },
        },
      }),
    },
    found: [
      "node_modules/a: names",
      "node_modules/b: has no",
      "node_modules/c: its optional d is not",
    ],
  },
  {
    claim: "the README shows a newcomer's first commands",
    problems: ({ files }) => readmeCommandProblems(textOf(files, "README.md")),
    broken: { "README.md": "Run `make demo`." },
    found: ["README.md does not show make test"],
  },
];

const checkout: Tree = { files: readCheckout(ROOT), sources: readSourceFacts(ROOT) };
const brokenTrees = makeTrees(RULES.map(({ broken }) => broken));
const brokenDirections = makeTrees(DIRECTIONS.map(({ example }) => importing(...example)));

for (const [i, rule] of RULES.entries()) {
  suite(rule.claim, () => {
    test("in the checkout", () => {
      const problems = rule.problems(checkout);
      assert.equal(problems.length, 0, `${problems.length} problems:\n${problems.join("\n")}`);
    });
    test("and a breach is noticed", () => {
      const problems = [...rule.problems(brokenTrees[i] ?? checkout)].sort();
      assert.equal(problems.length, rule.found.length, problems.join("\n"));
      for (const [j, start] of rule.found.entries()) {
        assert.ok(problems[j]?.startsWith(start), `${problems[j]} does not start with ${start}`);
      }
    });
  });
}

for (const [i, { why, example }] of DIRECTIONS.entries()) {
  const [path, target] = example;
  test(`a breach is noticed where ${path} imports ${target}`, () => {
    const problems = directionProblems(brokenDirections[i]?.sources ?? []);
    assert.ok(
      problems.some((problem) => problem.endsWith(why)),
      problems.join("\n"),
    );
  });
}

test("every permitted use of a module that also does I/O is still there", () => {
  for (const { path, target } of HARMLESS_USES) {
    const source = checkout.sources.find((file) => file.path === path);
    assert.ok(
      source?.imports.some(({ name }) => name === target),
      `${path} imports ${target}`,
    );
  }
});

test("files over 350 lines are named, to be questioned", (t) => {
  for (const line of longFiles(checkout.sources)) t.diagnostic(line);
});

/** Parses many small trees at once, each in a folder of its own. */
function makeTrees(trees: readonly Readonly<Record<string, string>>[]): readonly Tree[] {
  const entries = trees.flatMap((tree, i) =>
    Object.entries(tree).map(([path, text]) => [`tree-${i}/${path}`, text] as const),
  );
  const facts = parseSourceFacts(Object.fromEntries(entries));
  return trees.map((tree, i) => ({
    files: Object.entries(tree).map(([path, text]) => ({ path, text })),
    sources: facts
      .filter(({ path }) => path.startsWith(`tree-${i}/`))
      .map((source) => ({ ...source, path: source.path.replace(/^tree-\d+\//, "") })),
  }));
}

function importing(path: string, target: string): Readonly<Record<string, string>> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const written = target.startsWith("node:") ? target : relative(folder, target);
  return { [path]: `import "${written}";\n` };
}

function textOf(files: readonly TextFile[], path: string): string {
  const file = files.find((candidate) => candidate.path === path);
  assert.ok(file, `${path} is there`);
  return file.text;
}
