// What a process costs, as the kernel counts it, its threads included; and who goes first.

import { readdirSync, readFileSync } from "node:fs";
import { setPriority } from "node:os";

/** The kernel's clock for these numbers runs at 100 Hz on every platform Node runs on. */
const TICK_MS = 10;

export interface ProcessUsage {
  readonly rssMiB: number;
  /** User and system time since its start. */
  readonly cpuMs: number;
}

/** @throws when there is no such process */
export function usageOf(pid: number): ProcessUsage {
  const line = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The program's name may hold spaces, so count from behind it: utime is field 14 of proc(5).
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const rssKiB = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  return { rssMiB: rssKiB / 1024, cpuMs: ticks * TICK_MS };
}

const FIRST = -10;

/**
 * Lets a program go before all others that want the CPU, as if it had one of its own. To be asked
 * once it has all its threads.
 */
export function putFirst(pid: number): void {
  // Linux has a priority for each thread, and knows threads by process ids of their own.
  for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), FIRST);
}
