// `make image`: the root file system of the container image, put together from this machine's own
// programs and the locked packages. Nothing is pulled; the Containerfile only copies it.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import {
  access,
  cp,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, delimiter, dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./steps.ts";

const run = promisify(execFile);

/** Where the product stands in the image. */
export const APP = "innermesh";

/** Where the image is, as the Containerfile says it too. */
export const IMAGE = "build/image";

/** What the image was made of. Beside it, for all that is inside ends up in containers. */
const INPUTS = `${IMAGE}.inputs`;

/** What runs in a container; tests, scripts and documents stay behind. */
const APP_FOLDERS = [
  "bin",
  "cli",
  "conformance",
  "dashboard",
  "external-endpoints",
  "lib",
  "multicluster",
  "netpol-identity",
  "playground",
  "roles",
  "service-proxy",
];
const APP_FILES = ["package.json", "LICENSE"];
const LEFT_BEHIND = /\.test\.ts$|\/testdata(\/|$)|\/README\.md$|\.go$|\/go\.(mod|sum)$/;
/** Decide about the packages. */
const LOCK_FILES = ["package-lock.json", ".npmrc"];

/** Programs and why a container needs them. */
const PROGRAMS: readonly (readonly [program: string, names: readonly string[]])[] = [
  // The launcher, also for `kubectl exec`.
  ["sh", []],
  ["readlink", []],
  ["dirname", []],
  // The second backend of the kernel door; and `nft list` for whoever looks.
  ["nft", []],
  // A take-over removes kube-proxy's rules and links.
  ["ip", []],
  ["xtables-nft-multi", iptablesNames("nft")],
  ["xtables-legacy-multi", iptablesNames("legacy")],
];

/** `nft` and iptables read protocol names; glibc reads the order of name services. */
const FILES: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "hosts: files dns\n",
  "etc/protocols": "icmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n",
};
const FOLDERS = ["dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64"];
/** As on every distribution today; libraries are asked for by either path. */
const LINKS: Readonly<Record<string, string>> = {
  bin: "usr/bin",
  sbin: "usr/bin",
  "usr/sbin": "bin",
  lib: "usr/lib",
  lib64: "usr/lib64",
  "usr/bin/innermesh": `/${APP}/bin/innermesh`,
};

/**
 * Builds the image, unless it is there already and would come out the same.
 * @returns its absolute path
 * @throws Error when a program is not installed here, or npm fails
 */
export async function ensureImage(): Promise<string> {
  const [image, inputs] = [join(ROOT, IMAGE), join(ROOT, INPUTS)];
  const key = await describeInputs();
  if ((await readFile(inputs, "utf8").catch(ignoreMissing)) === key) return image;
  // Whoever runs a container of the old one keeps it until the new one is whole.
  const unfinished = `${image}.${process.pid}`;
  try {
    await buildImage(unfinished);
    await rm(inputs, { force: true });
    await rm(image, { recursive: true, force: true });
    await rename(unfinished, image);
    await writeFile(inputs, key);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return image;
}

/** One line for each thing that goes into the image: ours by content, the machine's by time. */
async function describeInputs(): Promise<string> {
  const ours = [...(await appFiles()), ...LOCK_FILES, "scripts/image.ts"];
  const hashes = ours.map(async (path) => {
    const hash = createHash("sha256").update(await readFile(join(ROOT, path)));
    return `${hash.digest("hex")} ${path}`;
  });
  const programs = PROGRAMS.map(async ([program]) => {
    const path = await realpath(await pathOf(program));
    const { size, mtimeMs } = await stat(path);
    return `${size} ${mtimeMs} ${path}`;
  });
  return `${(await Promise.all([...hashes, ...programs])).join("\n")}\n`;
}

/** Files of the product, relative to the checkout. */
async function appFiles(): Promise<readonly string[]> {
  const found = APP_FOLDERS.map(async (folder) => {
    const options = { recursive: true, withFileTypes: true } as const;
    const entries = await readdir(join(ROOT, folder), options).catch(ignoreMissing);
    return (entries ?? [])
      .filter((entry) => entry.isFile())
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
      .filter((path) => !LEFT_BEHIND.test(path));
  });
  return [...(await Promise.all(found)).flat().sort(), ...APP_FILES];
}

async function buildImage(target: string): Promise<void> {
  for (const folder of FOLDERS) await mkdir(join(target, folder), { recursive: true });
  for (const [path, to] of Object.entries(LINKS)) await symlink(to, join(target, path));
  for (const [path, text] of Object.entries(FILES)) await writeFile(join(target, path), text);
  await installApp(join(target, APP));
  const node = join(ROOT, "node_modules/.bin/node");
  for (const library of await librariesOf(node)) await copyInto(target, library);
  for (const [program, names] of PROGRAMS) await installProgram(target, program, names);
}

async function installApp(app: string): Promise<void> {
  for (const path of [...(await appFiles()), ...LOCK_FILES]) {
    await cp(join(ROOT, path), join(app, path));
  }
  await run("npm", ["ci", "--omit=dev", "--prefer-offline", "--loglevel=error"], { cwd: app });
  for (const name of LOCK_FILES) await rm(join(app, name));
  await keepOnlyNode(join(app, "node_modules"));
}

/**
 * Leaves of the Node package what runs: headers, manuals and its own npm are 60 MB. Links it, too:
 * npm 9 does not.
 */
async function keepOnlyNode(packages: string): Promise<void> {
  const link = join(packages, ".bin/node");
  for (const name of await readdir(packages)) {
    if (!name.startsWith("node-linux-")) continue;
    for (const part of ["include", "share", "lib", "CHANGELOG.md", "README.md"]) {
      await rm(join(packages, name, part), { recursive: true, force: true });
    }
    await rm(link, { force: true });
    await symlink(`../${name}/bin/node`, link);
  }
}

async function installProgram(
  target: string,
  program: string,
  names: readonly string[],
): Promise<void> {
  const path = await pathOf(program);
  await cp(await realpath(path), join(target, "usr/bin", program));
  for (const name of names) await symlink(program, join(target, "usr/bin", name));
  for (const library of await librariesOf(path)) {
    await copyInto(target, library);
    if (!basename(library).startsWith("libxtables.")) continue;
    // Matches and targets of iptables are plug-ins, looked for beside the library.
    const plugins = join(dirname(await realpath(library)), "xtables");
    await cp(plugins, join(target, plugins), { recursive: true, dereference: true });
  }
}

/** Paths of the shared libraries that the dynamic linker would load, itself among them. */
async function librariesOf(program: string): Promise<readonly string[]> {
  const { stdout } = await run("ldd", [program]);
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(/gm)].map(([, path = ""]) => path);
}

async function copyInto(target: string, path: string): Promise<void> {
  await mkdir(join(target, dirname(path)), { recursive: true });
  await cp(await realpath(path), join(target, path));
}

async function pathOf(program: string): Promise<string> {
  const folders = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`.split(delimiter);
  for (const folder of folders) {
    const path = join(folder, program);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new Error(`Cannot put "${program}" into the image: it is not installed here`);
}

function iptablesNames(variant: "nft" | "legacy"): readonly string[] {
  return ["iptables", "ip6tables"].flatMap((name) =>
    ["save", "restore"].map((verb) => `${name}-${variant}-${verb}`),
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
  return undefined;
}

if (import.meta.main) {
  try {
    const { stdout } = await run("du", ["-sm", await ensureImage()]);
    process.stdout.write(`${IMAGE}: ${stdout.split("\t")[0]} MB\n`);
    process.stdout.write("podman build -t innermesh .   (or docker) makes it an image\n");
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
