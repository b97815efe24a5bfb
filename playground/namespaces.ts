// The playground's hands: makes, wires, lists and removes network namespaces.

import { existsSync } from "node:fs";
import { readdir, readlink, stat } from "node:fs/promises";

import { runCommand, runOrThrow } from "./command.ts";
import type { NamespaceSetup, NetworkPlan } from "./network-plan.ts";
import { PlaygroundError } from "./playground-error.ts";

const directory = "/run/netns";
/** More at a time would only queue for the kernel's one configuration lock. */
const parallelSetups = 4;

/** Path of a namespace: what `setns` wants opened. */
export function netnsPath(netns: string): string {
  return `${directory}/${netns}`;
}

/** argv that runs `argv` inside a namespace, as the same process (no fork: the pid stays). */
export function insideNetns(netns: string, argv: readonly string[]): string[] {
  return ["nsenter", `--net=${netnsPath(netns)}`, "--", ...argv];
}

/**
 * Makes the plan's namespaces and links, sets everything up, and waits until every wire has a
 * signal at both ends.
 * @throws PlaygroundError `command-failed`; what was made by then stays
 */
export async function applyPlan(plan: NetworkPlan): Promise<void> {
  const lines = [...plan.namespaces.map((name) => `netns add ${name}`), ...plan.links];
  await ipBatch(lines);
  await forEachSetup(plan, applySetup);
  await forEachSetup(plan, awaitSignal);
}

/** Sets values in one namespace; see `NamespaceSetup.sysctls`. */
export async function setSysctls(netns: string, sysctls: readonly string[]): Promise<void> {
  await applySetup({ netns, sysctls, ip: [], nft: "" });
}

/** Loads br_netfilter unless it is there: a bridged node is none without it. */
export async function loadBridgeNetfilter(): Promise<void> {
  if (!existsSync("/proc/sys/net/bridge")) await runOrThrow(["modprobe", "br_netfilter"]);
}

/** Removes a link from a namespace, and with it its peer. */
export async function removeLink(netns: string, name: string): Promise<void> {
  await runOrThrow(insideNetns(netns, ["ip", "link", "delete", name]));
}

/** Removes a link from the root namespace unless it is gone; its peer's end may just be going. */
export async function removeMachineLink(name: string): Promise<void> {
  const isThere = (): boolean => existsSync(`/sys/class/net/${name}`);
  if (!isThere()) return;
  const { code, stderr } = await runCommand(["ip", "link", "delete", name]);
  if (code === 0 || !isThere()) return;
  throw new PlaygroundError("command-failed", `Cannot remove link "${name}": ${stderr.trim()}`);
}

/** Names of all namespaces that start so; empty when there are none. */
export async function listNamespaces(start: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => name.startsWith(start));
}

/**
 * Deletes names; one that is gone already (two sweeps may meet) is no error. The kernel takes the
 * namespaces apart afterwards, in the background.
 */
export async function removeNamespaces(names: readonly string[]): Promise<void> {
  const input = names.map((name) => `netns delete ${name}\n`).join("");
  const { stderr } = await runCommand(["ip", "-force", "-batch", "-"], { input });
  const left = names.filter((name) => existsSync(netnsPath(name)));
  if (left.length === 0) return;
  const message = `Cannot remove namespaces "${left.join(" ")}": ${stderr.trim()}`;
  throw new PlaygroundError("command-failed", message);
}

/**
 * Ends every process whose main thread is in one of these namespaces, with SIGKILL. Whoever is in
 * a playground's namespace was started for it: this finds grandchildren and what a crash left.
 * @returns their process ids
 */
export async function killInside(names: readonly string[]): Promise<number[]> {
  const inodes = new Set(await Promise.all(names.map((name) => inodeOf(netnsPath(name)))));
  const killed: number[] = [];
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const link = await readlink(`/proc/${entry}/ns/net`).catch(() => "");
    const inode = /^net:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined && inodes.has(inode) && kill(pid)) killed.push(pid);
  }
  return killed;
}

async function forEachSetup(
  plan: NetworkPlan,
  act: (setup: NamespaceSetup) => Promise<void>,
): Promise<void> {
  const queue = [...plan.setups];
  const work = async (): Promise<void> => {
    for (let setup = queue.shift(); setup !== undefined; setup = queue.shift()) await act(setup);
  };
  await Promise.all(Array.from({ length: parallelSetups }, work));
}

async function applySetup(setup: NamespaceSetup): Promise<void> {
  const script = [
    ...setup.sysctls.map(sysctlLine),
    ...(setup.ip.length === 0 ? [] : ["ip -batch - <<'END'", ...setup.ip, "END"]),
    ...(setup.nft === "" ? [] : ["nft -f - <<'END'", setup.nft, "END"]),
  ].join("\n");
  const shell = ["sh", "-e", "-s"];
  const argv = setup.netns === undefined ? shell : insideNetns(setup.netns, shell);
  await runOrThrow(argv, { input: `${script}\n` });
}

/**
 * The kernel notices a carrier in the background, up to a second after the second end of a veth
 * came up. Until then IPv6 sends nothing at all.
 */
async function awaitSignal(setup: NamespaceSetup): Promise<void> {
  if (setup.netns === undefined) return; // Its one link ends in the switch, which is looked at.
  const script =
    "for try in $(seq 500); do " +
    "ip -o link show up type veth | grep -q -e NO-CARRIER -e 'state DOWN' " +
    "|| exit 0; sleep 0.01; done; echo 'a veth has no carrier' >&2; exit 1";
  await runOrThrow(insideNetns(setup.netns, ["sh", "-c", script]));
}

/** Written by the shell itself: a `sysctl` process per value would double the time to build. */
function sysctlLine(assignment: string): string {
  const [, optional, key = "", value = ""] = /^(-?)([^=]+)=(.*)$/.exec(assignment) ?? [];
  const path = `/proc/sys/${key.replaceAll(".", "/")}`;
  const write = `echo ${value} > $file`;
  return `for file in ${path}; do ${optional === "-" ? `[ ! -e $file ] || ${write}` : write}; done`;
}

async function ipBatch(lines: readonly string[]): Promise<void> {
  if (lines.length === 0) return;
  await runOrThrow(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
}

/** Undefined when the name is gone by now, or is a leftover file on which nothing is mounted. */
async function inodeOf(path: string): Promise<string | undefined> {
  return stat(path).then(
    ({ ino }) => String(ino),
    () => undefined,
  );
}

function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false; // It ended by itself in the meantime.
  }
}
