// Moves a test process into a network namespace of its own, which goes when the process does.

import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { CLONE_NEWNET, setns } from "../../lib/sys/ffi.ts";

/**
 * Enters a fresh namespace with loopback up. Sockets, threads and programs that this process
 * starts from now on live there. Call it once, first: threads that run already stay behind.
 * @throws when the process lacks the privilege (CAP_SYS_ADMIN)
 */
export function enterOwnNamespace(): void {
  const name = `im-test-${process.pid}`;
  execFileSync("ip", ["netns", "add", name]);
  try {
    const fd = openSync(`/run/netns/${name}`, "r");
    setns(fd, CLONE_NEWNET);
    closeSync(fd);
  } finally {
    execFileSync("ip", ["netns", "delete", name]); // only the name: the process keeps the rest
  }
  execFileSync("ip", ["link", "set", "lo", "up"]);
}

/** Runs a program. @returns its standard output */
export function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs a command line whose words stand one space apart. @returns its standard output */
export function sh(line: string): string {
  const [program = "", ...args] = line.split(" ");
  return run(program, ...args);
}
