// Who may import whom, as a table: STYLE.md, Directions. Targets of imports are written as paths
// from the top, `node:fs`, or `npm:yaml`.

import { dirname, join } from "node:path/posix";
import type { SourceFacts } from "./source-facts.ts";

export interface Direction {
  readonly from: RegExp;
  readonly mustNot: RegExp;
  readonly why: string;
  /** A file and what it must not import: shows that the direction is watched. */
  readonly example: readonly [path: string, target: string];
}

const FEATURES = ["service-proxy", "netpol-identity", "multicluster", "external-endpoints"];
const FEATURE = `(?:${FEATURES.join("|")})`;
const TEST = /\.test\.ts$|^test\//;
/** Folders of a feature that only compute. */
const PURE = "model|plan|evaluate|config";
const OUTSIDE = "(?:conformance|dashboard|cli|roles|playground|bench|test|scripts)";

/** Files that may have tests as their only users. */
const FOR_TESTS = /^test\/|\/(fake|sample)-[^/]*$|-(contract|cases?)(-[a-z]+)*\.ts$|\/testdata\//;

const pattern = (text: string): RegExp => new RegExp(text.replaceAll("FEATURE", FEATURE));

export const DIRECTIONS: readonly Direction[] = [
  {
    from: /^lib\//,
    mustNot: /^(?!lib\/|node:|npm:)/,
    why: "lib knows no feature, role or command: each child could be its own package",
    example: ["lib/ip/cidr.ts", "service-proxy/model/endpoint.ts"],
  },
  ...FEATURES.map(
    (feature): Direction => ({
      from: new RegExp(`^${feature}/(?!main\\.ts)`),
      mustNot: new RegExp(`^(?!${feature}/)${FEATURE}/|^${OUTSIDE}/`),
      why: "features never import each other: declare a function type, let a root join them",
      example: [`${feature}/plan/a.ts`, "roles/node.ts"],
    }),
  ),
  {
    from: pattern("^FEATURE/model/"),
    mustNot: pattern("^FEATURE/(?!model/)"),
    why: "model ← plan ← apply ← main: the model is the bottom",
    example: ["service-proxy/model/endpoint.ts", "service-proxy/plan/ruleset.ts"],
  },
  {
    from: pattern("^FEATURE/(plan|evaluate|config)/"),
    mustNot: pattern("^FEATURE/(apply|proxy|ca|main\\.ts)"),
    why: "model ← plan ← apply ← main: a plan is a value that others apply",
    example: ["netpol-identity/plan/rules.ts", "netpol-identity/apply/sync.ts"],
  },
  {
    from: pattern("^FEATURE/(apply|proxy|ca|tunnel)/"),
    mustNot: pattern("^FEATURE/main\\.ts"),
    why: "model ← plan ← apply ← main: wiring is the top",
    example: ["multicluster/apply/sync.ts", "multicluster/main.ts"],
  },
  {
    from: pattern("^FEATURE/(proxy|tunnel)/"),
    mustNot: /^lib\/kube\/(?!api\/)/,
    why: "the data path consumes plans and pickers, never the watch cache",
    example: ["service-proxy/proxy/relay.ts", "lib/kube/store.ts"],
  },
  {
    from: pattern(
      `^(?!.*\\.test\\.ts$)(?:FEATURE/(${PURE})/|lib/((ip|http|x509|kube/api)/|tls/client))`,
    ),
    mustNot: /^lib\/(sys|log)\/|^lib\/(clock\/system-clock|kube\/client|kube\/source\/)/,
    why: "a plan or a codec is pure: it returns problems, the shell logs them",
    example: ["lib/kube/api/service.ts", "lib/log/logger.ts"],
  },
  {
    from: /^conformance\//,
    mustNot: pattern("^(?:FEATURE|roles|cli|playground|test)/|^lib/(sys|nft|netlink)/"),
    why: "conformance drives binaries and the API only, so that it can judge kube-proxy too",
    example: ["conformance/probe.ts", "service-proxy/model/endpoint.ts"],
  },
  {
    from: /^playground\//,
    mustNot: pattern("^(?:FEATURE|roles|cli|test|bench)/"),
    why: "the playground is a network; what runs in it is started as a program",
    example: ["playground/cluster.ts", "roles/node.ts"],
  },
  {
    from: /^(?!test\/|bench\/|scripts\/)(?!.*\.test\.ts$)/,
    mustNot: /^(test|bench|scripts)\/|\.test\.ts$|-contract\.ts$/,
    why: "the product needs nothing that only tests use",
    example: ["cli/main.ts", "test/cluster/etcd.ts"],
  },
  {
    from: /^(?!lib\/sys\/(ffi|openssl)\.ts$)/,
    mustNot: /^node:ffi$/,
    why: "a wrong signature crashes the process: libc and OpenSSL are called in lib/sys only",
    example: ["lib/nft/kernel.ts", "node:ffi"],
  },
];

/** The files that touch the world: I/O, clock, chance, process. A new one is a line here. */
export const DOORS: readonly RegExp[] = [
  /^lib\/sys\/(ffi|openssl)\.ts$/,
  /^lib\/netlink\/(socket|event-socket|conntrack|dump|dump-worker)\.ts$/,
  /^lib\/nft\/(kernel|nft-session|session-thread|commit-worker|nft-command)\.ts$/,
  /^lib\/kube\/(client|kubeconfig|bearer-token)\.ts$/,
  /^lib\/kube\/source\//,
  /^lib\/clock\/system-clock\.ts$/,
  // Sockets, and a pause when descriptors run out.
  /^lib\/(reactor|tls)\//,
  /^lib\/netlink\/(bridge-netfilter|detour)\.ts$/,
  // Keys, signatures, and what is signed.
  /^lib\/x509\//,
  /^lib\/grpc\/unary-(server|client)\.ts$/,
  /^lib\/log\//,
  pattern("^FEATURE/(apply|proxy|ca|tunnel)/"),
  pattern("^FEATURE/main\\.ts$"),
  /^(roles|cli|playground|dashboard|conformance|bench|test|scripts)\//,
  // Writes what it renders.
  /^manifests\/render\.ts$/,
  // A fake stands in for the world, and a contract is a test.
  /\/fake-[^/]*$|-contract\.ts$/,
  TEST,
];

/** Modules of Node that compute and touch nothing. */
const HARMLESS = /^node:(assert(\/strict)?|buffer|util|path(\/posix)?|url|string_decoder)$/;

/** Pure uses of a module that also does I/O. */
export const HARMLESS_USES: readonly { readonly path: string; readonly target: string }[] = [
  // isIP
  { path: "lib/ip/address.ts", target: "node:net" },
  // hash
  { path: "netpol-identity/evaluate/content-name.ts", target: "node:crypto" },
  // setImmediate
  { path: "lib/kube/list-pages.ts", target: "node:timers/promises" },
];

/** Imports against a direction, and the world touched outside the doors. */
export function directionProblems(sources: readonly SourceFacts[]): string[] {
  return sources.flatMap((source) => [...importProblems(source), ...doorProblems(source)]);
}

function importProblems(source: SourceFacts): string[] {
  const { path } = source;
  const directions = DIRECTIONS.filter(({ from }) => from.test(path));
  return source.imports.flatMap(({ name, line }) => {
    const target = targetOf(path, name);
    const broken = directions.filter(({ mustNot }) => mustNot.test(target));
    return broken.map(({ why }) => `${path}:${line} imports ${target}: ${why}`);
  });
}

function doorProblems({ path, imports, globals }: SourceFacts): string[] {
  if (DOORS.some((door) => door.test(path))) return [];
  const why = "not a door: hand it in, or list the file in DOORS";
  const uses = imports
    .map(({ name, line }) => ({ name: targetOf(path, name), line }))
    .filter(({ name }) => name.startsWith("node:") && !HARMLESS.test(name))
    .filter(({ name }) => !HARMLESS_USES.some((use) => use.path === path && use.target === name));
  return [...uses, ...globals].map(({ name, line }) => `${path}:${line} uses ${name}: ${why}`);
}

/** Circles among the children of lib; each is told once, by its edges. */
export function libCycleProblems(sources: readonly SourceFacts[]): string[] {
  const edges = new Map<string, Set<string>>();
  for (const { path, imports } of sources) {
    const child = childOfLib(path);
    if (child === undefined || TEST.test(path)) continue;
    for (const { name } of imports) {
      const other = childOfLib(targetOf(path, name));
      if (other === undefined || other === child) continue;
      edges.set(child, (edges.get(child) ?? new Set()).add(other));
    }
  }
  const reachable = (from: string, seen: Set<string>): Set<string> => {
    for (const next of edges.get(from) ?? []) {
      if (!seen.has(next)) reachable(next, seen.add(next));
    }
    return seen;
  };
  return [...edges.keys()]
    .filter((child) => reachable(child, new Set()).has(child))
    .map(
      (child) => `lib/${child} imports itself through ${[...(edges.get(child) ?? [])].join(", ")}`,
    );
}

/** Tests, and programs that a person or a Makefile starts. */
const STARTED_BY_PEOPLE =
  /\.(test|bench)\.ts$|^(scripts|roles)\/|^cli\/main\.ts$|^manifests\/render\.ts$/;

/**
 * Files that nobody imports or names, and product files that only tests import.
 * Fakes, samples and contracts are for tests, of other folders too.
 */
export function unusedProblems(sources: readonly SourceFacts[]): string[] {
  const byProduct = new Set<string>();
  const byTests = new Set<string>();
  for (const source of sources) {
    const users = TEST.test(source.path) ? byTests : byProduct;
    for (const { name } of source.imports) users.add(targetOf(source.path, name));
    // Workers and child processes are started by name.
    for (const text of source.strings) {
      if (text.endsWith(".ts")) users.add(text.slice(text.lastIndexOf("/") + 1));
    }
  }
  const used = (path: string, by: ReadonlySet<string>): boolean =>
    by.has(path) || by.has(path.slice(path.lastIndexOf("/") + 1));
  return sources
    .map(({ path }) => path)
    .filter((path) => !STARTED_BY_PEOPLE.test(path))
    .filter((path) => !used(path, byProduct))
    .flatMap((path) => {
      if (!used(path, byTests)) return [`${path}: nobody imports it`];
      return FOR_TESTS.test(path) ? [] : [`${path}: only tests import it`];
    });
}

function childOfLib(path: string): string | undefined {
  return /^lib\/([^/]+)\//.exec(path)?.[1];
}

function targetOf(path: string, specifier: string): string {
  if (specifier.startsWith(".")) return join(dirname(path), specifier);
  return specifier.startsWith("node:") ? specifier : `npm:${specifier}`;
}
