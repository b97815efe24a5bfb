// What a real node leaves on the machine beside its namespaces: a directory and a cgroup in every
// hierarchy. Both carry the playground's prefix, so that a sweep finds those of dead owners.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { PlaygroundError } from "./playground-error.ts";

const STATE = "/var/tmp/innermesh-nodes";
const CGROUPS = "/sys/fs/cgroup";
/** A killed process leaves its cgroup when its parent or the kernel has reaped it. */
const EMPTY_WITHIN_MS = 10_000;

/** Where all files of a playground's nodes are. */
export function stateDirectory(prefix: string): string {
  return join(STATE, prefix);
}

/** Makes that directory, for root alone: there are keys in it. */
export async function createStateDirectory(prefix: string): Promise<void> {
  await mkdir(stateDirectory(prefix), { recursive: true, mode: 0o700 });
}

/** Name of the cgroup that holds the nodes of a playground. */
export function cgroupName(prefix: string): string {
  return `${prefix}-nodes`;
}

/**
 * Makes a cgroup in every hierarchy. A new cpuset is empty and takes no process, so each level of
 * it copies its parent.
 * @param path relative to the hierarchies' roots
 */
export async function createCgroup(path: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    let level = hierarchy;
    for (const part of path.split("/")) {
      const parent = level;
      level = join(level, part);
      await delegateControllers(parent);
      await mkdir(level, { recursive: true });
      if (!existsSync(join(level, "cpuset.cpus"))) continue;
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        if ((await readFile(join(level, file), "utf8")).trim() !== "") continue;
        await writeFile(join(level, file), await readFile(join(parent, file)));
      }
    }
  }
}

/**
 * Ends what runs in the nodes of a playground and removes what they left; nothing happens when
 * there is nothing.
 * @throws PlaygroundError `command-failed` when a process does not end
 */
export async function removeNodeState(prefix: string): Promise<void> {
  const deadline = performance.now() + EMPTY_WITHIN_MS;
  for (const hierarchy of await hierarchies()) {
    const cgroup = join(hierarchy, cgroupName(prefix));
    while (existsSync(cgroup) && !(await emptyCgroup(cgroup))) {
      if (performance.now() > deadline) {
        throw new PlaygroundError("command-failed", `Cannot empty cgroup "${cgroup}"`);
      }
      await sleep(50);
    }
  }
  await rm(stateDirectory(prefix), { recursive: true, force: true });
}

/**
 * Removes what nodes of dead playgrounds left.
 * @param isAlive whether a playground of this prefix lives
 * @returns their prefixes
 */
export async function sweepNodeStates(isAlive: (prefix: string) => boolean): Promise<string[]> {
  const prefixes = await readdir(STATE).catch(() => []);
  const dead = prefixes.filter((prefix) => !isAlive(prefix));
  for (const prefix of dead) await removeNodeState(prefix);
  return dead;
}

/** In cgroup v2 a level has the controllers that its parent hands down. */
async function delegateControllers(cgroup: string): Promise<void> {
  const names = await readFile(join(cgroup, "cgroup.controllers"), "utf8").catch(() => "");
  const control = join(cgroup, "cgroup.subtree_control");
  for (const name of names.trim().split(" ").filter(Boolean)) await writeFile(control, `+${name}`);
}

/** Kills the processes of a cgroup and of those below; true when all of them could be removed. */
async function emptyCgroup(path: string): Promise<boolean> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  let empty = true;
  for (const entry of entries) {
    if (entry.isDirectory()) empty = (await emptyCgroup(join(path, entry.name))) && empty;
  }
  const pids = await readFile(join(path, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of pids.split("\n").filter((line) => line !== "")) kill(Number(pid));
  return rmdir(path).then(
    () => empty,
    (error: NodeJS.ErrnoException) => error.code === "ENOENT",
  );
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself in the meantime.
  }
}

/** The mounted hierarchies; with cgroup v2 alone there is one, the mount point itself. */
async function hierarchies(): Promise<string[]> {
  if (existsSync(join(CGROUPS, "cgroup.controllers"))) return [CGROUPS];
  const names = await readdir(CGROUPS);
  return names.map((name) => join(CGROUPS, name));
}
