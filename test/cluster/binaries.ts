// Where the real etcd and Kubernetes programs come from: KUBEBUILDER_ASSETS, or one Go build from
// the modules pinned in ./etcd and ./kubernetes (go.mod and go.sum), kept outside the checkout. The
// foreign peers of ../interop come the same way.
// `node test/cluster/binaries.ts --all` makes them ready and prints nothing when they are.

import assert from "node:assert/strict";
import { type StdioOptions, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** What the cluster tests start. */
type ClusterBinaryName = "etcd" | "kube-apiserver" | "kube-controller-manager" | "kube-proxy";
/** What real nodes, their pods and the upstream suites need beside. */
type NodeBinaryName =
  | "kubelet"
  | "kube-scheduler"
  | "coredns"
  | "echo-client"
  | "echo-server"
  | "pause"
  | "agnhost"
  | "agnhost-shell"
  | "gateway-api-conformance"
  | "kubernetes-e2e"
  | "network-policy-conformance";
/** Foreign code that judges our certificates, tunnels and policies. */
type InteropBinaryName = "hbone-peer" | "certificate-lint" | "cyclonus-oracle";
export type BinaryName = ClusterBinaryName | NodeBinaryName | InteropBinaryName;

/** How to build one program: `command` is its Go package in the module pinned in `folder`. */
interface Recipe {
  /** Relative to this file. */
  readonly folder: string;
  readonly module: string;
  readonly command: string;
  /** `test` makes a program of a package's tests. @default "build" */
  readonly verb?: "build" | "test";
  /** On two cores with an empty Go cache, as measured 2026-11. */
  readonly lasts: string;
}

const UPSTREAM = "../../conformance/upstream";
const ECHO = { folder: `${UPSTREAM}/echo`, module: "istio.io/istio" } as const;
const KUBERNETES = { folder: "kubernetes", module: "k8s.io/kubernetes" } as const;
const POLICY_API = {
  folder: `${UPSTREAM}/network-policy-api`,
  module: "sigs.k8s.io/network-policy-api",
} as const;
const RECIPES: Readonly<Record<BinaryName, Recipe>> = {
  etcd: {
    folder: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    command: "go.etcd.io/etcd/server/v3",
    lasts: "a minute",
  },
  "kube-apiserver": {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/cmd/kube-apiserver",
    lasts: "four minutes",
  },
  "kube-controller-manager": {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/cmd/kube-controller-manager",
    lasts: "a minute",
  },
  "kube-proxy": {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/cmd/kube-proxy",
    lasts: "a minute",
  },
  kubelet: {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/cmd/kubelet",
    lasts: "two minutes",
  },
  "kube-scheduler": {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/cmd/kube-scheduler",
    lasts: "a minute",
  },
  coredns: {
    folder: `${UPSTREAM}/coredns`,
    module: "github.com/coredns/coredns",
    command: "github.com/coredns/coredns",
    lasts: "two minutes",
  },
  "echo-client": {
    ...ECHO,
    command: "istio.io/istio/pkg/test/echo/cmd/client",
    lasts: "three minutes",
  },
  "echo-server": {
    ...ECHO,
    command: "istio.io/istio/pkg/test/echo/cmd/server",
    lasts: "a minute",
  },
  pause: { ...ECHO, command: ".", lasts: "seconds" },
  "gateway-api-conformance": {
    folder: `${UPSTREAM}/gateway-api`,
    module: "sigs.k8s.io/gateway-api",
    command: ".",
    verb: "test",
    lasts: "two minutes",
  },
  agnhost: {
    ...KUBERNETES,
    command: "k8s.io/kubernetes/test/images/agnhost",
    lasts: "a minute",
  },
  "kubernetes-e2e": { ...KUBERNETES, command: ".", verb: "test", lasts: "five minutes" },
  "agnhost-shell": { ...POLICY_API, command: ".", lasts: "seconds" },
  "network-policy-conformance": {
    ...POLICY_API,
    command: ".",
    verb: "test",
    lasts: "a minute",
  },
  "hbone-peer": {
    folder: "../interop/hbone-peer",
    module: "istio.io/istio",
    command: ".",
    lasts: "two minutes",
  },
  "certificate-lint": {
    folder: "../interop/certificate-lint",
    module: "github.com/zmap/zlint/v3",
    command: ".",
    lasts: "half a minute",
  },
  "cyclonus-oracle": {
    folder: "../policy-oracle/cyclonus",
    module: "github.com/mattfenwick/cyclonus",
    command: ".",
    lasts: "a minute",
  },
};
/** What `--all` makes ready. */
export const BINARY_NAMES: readonly (ClusterBinaryName | InteropBinaryName)[] = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-proxy",
  "hbone-peer",
  "certificate-lint",
  "cyclonus-oracle",
];

/** Go fetches the toolchain that a go.mod names by itself from this version on. */
const OLDEST_GO = [1, 21] as const;
const BUILD_LOG_LINES = 15;

export interface BinaryOptions {
  /** @default process.env; read: KUBEBUILDER_ASSETS, XDG_CACHE_HOME, PATH and what Go reads. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Called with one line before each build. @default writes the line to standard error. */
  readonly onBuild?: (line: string) => void;
}

/** A program could not be had. `code` is NO_GO, OLD_GO or BUILD_FAILED. */
export class BinaryError extends Error {
  readonly code: "NO_GO" | "OLD_GO" | "BUILD_FAILED";

  constructor(code: BinaryError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "BinaryError";
    this.code = code;
  }
}

/**
 * Returns the path of each named program, building what is missing. Processes that ask at the same
 * time build once: the others wait. A program in KUBEBUILDER_ASSETS wins over a built one.
 * @throws BinaryError when a program is missing and cannot be built
 */
export async function ensureBinaries<Name extends BinaryName>(
  names: readonly Name[],
  options: BinaryOptions = {},
): Promise<Readonly<Record<Name, string>>> {
  const environment = options.environment ?? process.env;
  const onBuild = options.onBuild ?? ((line: string) => process.stderr.write(`${line}\n`));
  const paths: [Name, string][] = [];
  for (const name of names) paths.push([name, await ensureBinary(name, environment, onBuild)]);
  return Object.fromEntries(paths) as Record<Name, string>;
}

/** The version of a program that would be built, e.g. `v1.36.3`: what its go.mod requires. */
export async function pinnedVersion(name: BinaryName): Promise<string> {
  const { folder, module } = RECIPES[name];
  const goMod = await readFile(join(import.meta.dirname, folder, "go.mod"), "utf8");
  const lines = goMod.split("\n").map((line) => line.trim().replace(/^require /, ""));
  const words = lines.map((line) => line.split(" "));
  const version = words.find(([path, text]) => path === module && text?.startsWith("v"))?.[1];
  assert(version !== undefined, `${folder}/go.mod requires ${module}`);
  return version;
}

async function ensureBinary(
  name: BinaryName,
  environment: NodeJS.ProcessEnv,
  onBuild: (line: string) => void,
): Promise<string> {
  const assets = environment["KUBEBUILDER_ASSETS"];
  if (assets && (await isExecutable(join(assets, name)))) return join(assets, name);
  const cache = environment["XDG_CACHE_HOME"] || join(environment["HOME"] ?? homedir(), ".cache");
  const version = await pinnedVersion(name);
  const directory = join(cache, "innermesh", "bin", `${version}${await ownSource(name)}`);
  const target = join(directory, name);
  if (await isExecutable(target)) return target;
  await checkGo(name, environment);
  await mkdir(directory, { recursive: true });
  await withLock(join(directory, ".lock"), async () => {
    if (await isExecutable(target)) return;
    onBuild(`Building ${name} ${version} with Go, once; it takes about ${RECIPES[name].lasts}.`);
    await build(name, version, target, environment);
  });
  return target;
}

/** Tells builds apart in which our own Go code differs; "" where there is none. */
async function ownSource(name: BinaryName): Promise<string> {
  const { folder, command } = RECIPES[name];
  if (command !== ".") return "";
  const directory = join(import.meta.dirname, folder);
  const hash = createHash("sha256");
  for (const file of (await readdir(directory)).sort()) {
    if (/\.go$|^go\./.test(file)) hash.update(file).update(await readFile(join(directory, file)));
  }
  return `-${hash.digest("hex").slice(0, 12)}`;
}

async function checkGo(name: BinaryName, environment: NodeJS.ProcessEnv): Promise<void> {
  const missing = `Cannot find ${name}: not in KUBEBUILDER_ASSETS nor in the cache`;
  const ask = await run(["go", "env", "GOVERSION"], { environment }).catch((cause: unknown) => {
    const why = `${missing}, and Go, which would build it, is not in PATH`;
    throw new BinaryError("NO_GO", why, { cause });
  });
  const found = ask.output.trim();
  const [major = 0, minor = 0] = found.replace(/^go/, "").split(".").map(Number);
  if (major > OLDEST_GO[0] || (major === OLDEST_GO[0] && minor >= OLDEST_GO[1])) return;
  const oldest = OLDEST_GO.join(".");
  const why = `${missing}, and building it needs Go ${oldest} or newer: found ${found}`;
  throw new BinaryError("OLD_GO", why);
}

async function build(
  name: BinaryName,
  version: string,
  target: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const { folder, command, verb = "build" } = RECIPES[name];
  const [major, minor] = version.slice(1).split(".");
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
  const stamps = Object.entries(variables).map(
    ([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`,
  );
  const temporary = `${target}.${process.pid}.tmp`;
  const verbs = verb === "test" ? ["test", "-c"] : ["build"];
  const compile = ["go", ...verbs, "-mod=readonly", "-buildvcs=false", "-trimpath"];
  const link = ["-ldflags", ["-s", "-w", ...stamps].join(" "), "-o", temporary, command];
  const result = await run(["setpriv", "--pdeathsig", "KILL", "nice", ...compile, ...link], {
    environment: { ...environment, CGO_ENABLED: "0", GOWORK: "off" },
    directory: join(import.meta.dirname, folder),
  });
  if (result.status !== 0) {
    await rm(temporary, { force: true });
    const lines = result.output.trim().split("\n").slice(-BUILD_LOG_LINES).join("\n");
    throw new BinaryError("BUILD_FAILED", `Cannot build ${name} ${version}: go says\n${lines}`);
  }
  await rename(temporary, target);
}

/** Holds a kernel lock on `path` meanwhile; it goes with this process, however that ends. */
async function withLock(path: string, action: () => Promise<void>): Promise<void> {
  const file = await open(path, "w");
  try {
    // The lock belongs to the open file, which flock(1) shares with us and leaves locked.
    const result = await run(["flock", "--exclusive", "3"], { extraFd: file.fd });
    assert.equal(result.status, 0, `flock ${path}: ${result.output}`);
    await action();
  } finally {
    await file.close();
  }
}

interface RunOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly directory?: string;
  /** Becomes file descriptor 3 of the child. */
  readonly extraFd?: number;
}

/** Runs a program to its end. Rejects only if it cannot start. */
async function run(
  words: readonly string[],
  options: RunOptions,
): Promise<{ readonly status: number; readonly output: string }> {
  const [command = "", ...rest] = words;
  const stdio: StdioOptions = ["ignore", "pipe", "pipe"];
  if (options.extraFd !== undefined) stdio.push(options.extraFd);
  const child = spawn(command, rest, {
    stdio,
    env: options.environment ?? process.env,
    cwd: options.directory,
  });
  const chunks: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.on("error", reject).on("close", (status) => resolve(status ?? -1));
  return { status: await promise, output: chunks.join("") };
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

if (import.meta.main) {
  const known = Object.keys(RECIPES) as BinaryName[];
  const wanted = process.argv.includes("--all")
    ? BINARY_NAMES
    : known.filter((name) => process.argv.includes(name));
  try {
    assert(wanted.length > 0, `usage: node test/cluster/binaries.ts --all | NAME...`);
    await ensureBinaries(wanted);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
