// The tidy rules that are not about imports: sizes, names, readmes, words, dependencies.

import { dirname, join } from "node:path/posix";
import type { SourceFacts } from "./source-facts.ts";

/** A file of the checkout that is text. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

export const LIMITS = {
  fileLines: 500,
  questionableFileLines: 350,
  functionLines: 70,
  columns: 100,
  readmeLines: 40,
  foldersDeep: 3,
} as const;

/** Data for tests, where shape follows the data. */
const TABLES = /(^|\/)testdata\/|-cases\.ts$/;
/** One function holds a table of tests. */
const CONTRACTS = /-contract\.ts$/;
const FEATURES =
  "service-proxy|netpol-identity|multicluster|external-endpoints|manifests|conformance";
const FOLDERS_WITH_README = new RegExp(`^(lib/[^/]+|${FEATURES})/`);
const FORBIDDEN_NAMES = /(^|\/)(utils?|helpers?|common|types|index|misc)(\.ts$|\/)/;
const KEBAB_CASE = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+)*$/;

/** Words that no committed file may hold, and why. Spelt so that they do not match themselves. */
const FORBIDDEN_WORDS: readonly { readonly word: RegExp; readonly why: string }[] = [
  {
    word: /\b(?:TO[D]O(?!\(#\d+\))|FIX[M]E|HA[C]K|X[X]X)\b/,
    why: "name the issue that it waits for, as in STYLE.md",
  },
  {
    word: /registry[.](npmjs|yarnpkg)|(proxy|sum)[.]golang|pypi[.]org|deb[.]debian/,
    why: "which registry packages come from is the user's choice",
  },
  { word: /(^|[^\w.])\/(work|root|home\/\w+)\//, why: "a path of one machine" },
  { word: /[.][.]\/shared\b/, why: "outside the checkout" },
];

export function sizeProblems(sources: readonly SourceFacts[]): string[] {
  return sources
    .filter(({ path }) => !TABLES.test(path))
    .flatMap(({ path, lines, functions }) => [
      ...(lengthOf(lines) > LIMITS.fileLines ? [`${path}: ${lengthOf(lines)} lines`] : []),
      ...functions
        .filter((found) => found.lines > LIMITS.functionLines && !CONTRACTS.test(path))
        .map((found) => `${path}:${found.line} ${found.name}: ${found.lines} lines`),
      ...columnProblems(path, lines),
    ]);
}

/** In tests only strings can be too long: the formatter breaks all else. */
function columnProblems(path: string, lines: readonly string[]): string[] {
  if (path.endsWith(".test.ts")) return [];
  return lines.flatMap((line, i) =>
    line.length > LIMITS.columns ? [`${path}:${i + 1} ${line.length} columns`] : [],
  );
}

/** Files to question: long, but not too long. */
export function longFiles(sources: readonly SourceFacts[]): string[] {
  return sources
    .filter(({ lines }) => lengthOf(lines) > LIMITS.questionableFileLines)
    .map(({ path, lines }) => `${path}: ${lengthOf(lines)} lines`);
}

export function nameProblems(paths: readonly string[]): string[] {
  return paths
    .filter((path) => path.endsWith(".ts"))
    .flatMap((path) => {
      const parts = path.split("/");
      if (FORBIDDEN_NAMES.test(path)) return [`${path}: name the idea`];
      if (!KEBAB_CASE.test(parts.at(-1) ?? "")) return [`${path}: not in kebab-case`];
      return parts.length - 1 > LIMITS.foldersDeep ? [`${path}: folders too deep`] : [];
    });
}

/** Each file says what it knows; a test beside its file is about that. */
export function headerProblems(sources: readonly SourceFacts[]): string[] {
  const paths = new Set(sources.map(({ path }) => path));
  return sources
    .filter(({ path }) => !path.endsWith(".test.ts") || !paths.has(path.replace(".test.", ".")))
    .filter(({ lines: [first = "", second = ""] }) => {
      const opening = first.startsWith("#!") ? second : first;
      return !/^\/\/ \S|^\/\*\*?/.test(opening);
    })
    .map(({ path }) => `${path}: does not open with what it knows`);
}

export function bannedProblems(sources: readonly SourceFacts[]): string[] {
  return sources.flatMap(({ path, banned }) =>
    banned.map(({ name, line }) => `${path}:${line} ${name}`),
  );
}

/** Features and children of lib explain themselves in under 40 lines. */
export function readmeProblems(files: readonly TextFile[]): string[] {
  const folders = new Set(files.map(({ path }) => FOLDERS_WITH_README.exec(path)?.[1]));
  return [...folders].flatMap((folder) => {
    if (folder === undefined) return [];
    const readme = files.find(({ path }) => path === `${folder}/README.md`);
    if (readme === undefined) return [`${folder}: has no README.md`];
    const lines = lengthOf(readme.text.split("\n"));
    return lines < LIMITS.readmeLines ? [] : [`${readme.path}: ${lines} lines`];
  });
}

export function wordProblems(files: readonly TextFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .split("\n")
      .flatMap((line, i) =>
        FORBIDDEN_WORDS.filter(({ word }) => word.test(line)).map(
          ({ why }) => `${path}:${i + 1} "${line.trim().slice(0, 80)}": ${why}`,
        ),
      ),
  );
}

/** Relative links of the documents lead somewhere. */
export function linkProblems(files: readonly TextFile[]): string[] {
  const paths = new Set(files.flatMap(({ path }) => [path, ...parentsOf(path)]));
  return files
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)]
        .map(([, link = ""]) => link)
        .filter((link) => !paths.has(join(dirname(path), link).replace(/\/$/, "")))
        .map((link) => `${path}: ${link} is not there`),
    );
}

function parentsOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

/**
 * Compares what package.json asks for at run time with the reasons given.
 * @param golden lines of a name and a reason
 */
export function dependencyProblems(packageJson: string, golden: string): string[] {
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(packageJson) as {
    readonly dependencies?: Readonly<Record<string, string>>;
    readonly optionalDependencies?: Readonly<Record<string, string>>;
  };
  const all = { ...dependencies, ...optionalDependencies };
  const reasons = new Map(
    golden
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.split(" ", 1)[0] ?? "", line.replace(/^\S+\s*/, "")]),
  );
  return [
    ...Object.keys(all).flatMap((name) =>
      reasons.get(name) ? [] : [`${name}: no reason in dependencies.golden`],
    ),
    ...Object.entries(all).flatMap(([name, version]) =>
      /^\d+\.\d+\.\d+$/.test(version) ? [] : [`${name}: ${version} is not one version`],
    ),
    ...[...reasons.keys()].flatMap((name) =>
      name in all ? [] : [`${name}: in dependencies.golden, but not in package.json`],
    ),
  ];
}

interface LockedPackage {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
  readonly libc?: string | readonly string[];
}

/**
 * The lockfile names no registry, pins the content of all that our machines install, and leaves
 * out no package of other platforms: `npm ci` would refuse.
 */
export function lockfileProblems(lockfile: string): string[] {
  const { packages } = JSON.parse(lockfile) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  return Object.entries(packages).flatMap(([name, entry]) => {
    const { integrity, resolved, optionalDependencies = {} } = entry;
    const absent = Object.keys(optionalDependencies).filter(
      (other) => !(`node_modules/${other}` in packages),
    );
    return [
      ...(resolved === undefined ? [] : [`${name}: names a registry`]),
      ...(name === "" || integrity !== undefined || !isForUs(entry)
        ? []
        : [`${name}: has no integrity`]),
      ...absent.map((other) => `${name}: its optional ${other} is not locked`),
    ];
  });
}

/** We run on Linux with glibc, on two architectures. */
function isForUs({ os = "linux", cpu = ["x64", "arm64"], libc = "glibc" }: LockedPackage): boolean {
  const has = (values: string | readonly string[], ours: readonly string[]): boolean =>
    [values].flat().some((value) => ours.includes(value));
  return has(os, ["linux"]) && has(cpu, ["x64", "arm64"]) && has(libc, ["glibc"]);
}

/** The first commands of a newcomer. */
export function readmeCommandProblems(readme: string): string[] {
  return ["make demo", "make test"]
    .filter((command) => !readme.includes(command))
    .map((command) => `README.md does not show ${command}`);
}

function lengthOf(lines: readonly string[]): number {
  return lines.at(-1) === "" ? lines.length - 1 : lines.length;
}
