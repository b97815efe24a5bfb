// Runs the image as a container engine runs it in a Pod with the host's network, without an engine:
// own mounts and process ids, an overlay over the image, read-only, and only what it is granted.

import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensureImage, IMAGE } from "../../scripts/image.ts";
import { ROOT } from "../../scripts/steps.ts";

const run = promisify(execFile);

/** A mount of a container: a folder of this machine, read-only, or an emptyDir in memory. */
export type ContainerMount =
  | { readonly kind: "folder"; readonly at: string; readonly from: string }
  | { readonly kind: "memory"; readonly at: string; readonly size: string };

export interface ContainerOptions {
  /** As Kubernetes writes them: `NET_ADMIN`. "privileged" is every one, and a /proc to write. */
  readonly capabilities: readonly string[] | "privileged";
  readonly mounts?: readonly ContainerMount[];
  readonly env?: Readonly<Record<string, string>>;
  /** @default the Containerfile's */
  readonly entrypoint?: string;
}

const START = {
  ownNamespaces: ["unshare", "--mount", "--pid", "--fork", "--kill-child"],
  environment: ["env", "-i", "HOME=/root"],
} as const;

/** The image on this machine, built if need be, and how to start containers of it. */
export class ContainerImage {
  /** Absolute. */
  readonly path: string;
  readonly entrypoint: string;
  readonly #searchPath: string;
  /** Every capability that this machine has to give. */
  readonly #everyCapability: readonly string[];

  /** Use `open`. */
  constructor(path: string, containerfile: string, everyCapability: readonly string[]) {
    this.path = path;
    this.entrypoint = wordOf(containerfile, /^ENTRYPOINT \["(\S+)"\]$/m);
    this.#searchPath = wordOf(containerfile, /^ENV PATH=(\S+)$/m);
    this.#everyCapability = everyCapability;
  }

  static async open(): Promise<ContainerImage> {
    const path = await ensureImage();
    await mkdir(`${path}.container`, { recursive: true });
    const containerfile = await readFile(join(ROOT, "Containerfile"), "utf8");
    const copied = wordOf(containerfile, /^COPY (\S+)\/ \/$/m);
    if (copied !== IMAGE) throw new Error(`The Containerfile copies ${copied}, not ${IMAGE}`);
    const { stdout } = await run("capsh", ["--print"]);
    const names = wordOf(stdout, /^Bounding set =(\S+)$/m).split(",");
    return new ContainerImage(path, containerfile, names);
  }

  /**
   * The words that start a container. It ends with the process that they start, which is not the
   * container's own: see `mainProcess`.
   */
  command(args: readonly string[], options: ContainerOptions): readonly string[] {
    const { capabilities, mounts = [], env = {}, entrypoint = this.entrypoint } = options;
    const granted =
      capabilities === "privileged" ? this.#everyCapability : capabilities.map(libcap);
    const dropped = this.#everyCapability.filter((name) => !granted.includes(name));
    const root = `${this.path}.container/root`;
    const script = [
      "set -eu",
      ...overlay(this.path),
      ...kernelFolders(root, capabilities === "privileged"),
      ...mounts.map((mount) => mountLine(root, mount)),
      `mount -o remount,ro ${quoted(root)}`,
      'exec "$@"',
    ];
    const { ownNamespaces, environment } = START;
    const restricted = capabilities === "privileged" ? [] : ["--no-new-privs"];
    const drop = dropped.length === 0 ? [] : [`--drop=${dropped.join(",")}`];
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const shell = ["sh", "-c", script.join("\n"), "sh"];
    const capsh = ["/usr/sbin/capsh", `--chroot=${root}`, ...drop, ...restricted];
    const program = [`--shell=${entrypoint}`, "--", ...args];
    const path = `PATH=${this.#searchPath}`;
    return [...ownNamespaces, ...shell, ...environment, path, ...variables, ...capsh, ...program];
  }
}

/** The first process of a container: process 1 to itself, `child` to us. */
export async function mainProcess(child: number): Promise<number> {
  const children = await readFile(`/proc/${child}/task/${child}/children`, "utf8");
  return Number(children.trim());
}

/** `cap_net_admin`, as libcap's programs want it. */
export function libcap(capability: string): string {
  return `cap_${capability.toLowerCase()}`;
}

/** What is written goes into memory that ends with the container, and mount points can be made. */
function overlay(image: string): readonly string[] {
  const folder = `${image}.container`;
  const options = `lowerdir=${image},upperdir=${folder}/upper,workdir=${folder}/work`;
  return [
    `mount -t tmpfs tmpfs ${quoted(folder)}`,
    `cd ${quoted(folder)}`,
    "mkdir upper work root",
    `mount -t overlay -o ${quoted(options)} overlay root`,
    "cd /",
  ];
}

/** As the runtime specification of the OCI has them by default. */
function kernelFolders(root: string, privileged: boolean): readonly string[] {
  const readOnly = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
  return [
    `cd ${quoted(root)}`,
    "mount -t proc proc proc",
    ...(privileged ? [] : readOnly.map((name) => readOnlyLine(`proc/${name}`))),
    `mount -t sysfs -o ${privileged ? "rw" : "ro"} sysfs sys`,
    "mount -t tmpfs -o size=64k tmpfs dev",
    "for device in null zero full random urandom; do",
    "  touch dev/$device; mount --bind /dev/$device dev/$device",
    "done",
    "cd /",
  ];
}

/** Not every kernel has each of them. */
function readOnlyLine(path: string): string {
  return `[ ! -e ${path} ] || mount --bind -o ro ${path} ${path}`;
}

function mountLine(root: string, mount: ContainerMount): string {
  const at = quoted(`${root}${mount.at}`);
  switch (mount.kind) {
    case "folder":
      return `mkdir -p ${at}; mount --bind -o ro ${quoted(mount.from)} ${at}`;
    case "memory":
      return `mkdir -p ${at}; mount -t tmpfs -o size=${mount.size} tmpfs ${at}`;
  }
}

function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}

function wordOf(text: string, pattern: RegExp): string {
  const word = pattern.exec(text)?.[1];
  if (word === undefined) throw new Error(`Cannot find ${pattern.source} in ${text}`);
  return word;
}
