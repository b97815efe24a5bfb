// What a process costs, as the kernel counts it: its threads and the children it has waited for.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The kernel's clock for these numbers runs at 100 Hz on every platform Node runs on. */
const TICK_MS = 10;
const WATCH_MS = 100;

/** User and system time; none of a process that has ended. */
export function cpuMsOf(pid: number): number {
  const line = readOrEmpty(`/proc/${pid}/stat`);
  // The program's name may hold spaces, so count from behind it: utime is field 14 of proc(5).
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks * TICK_MS;
}

/** Resident memory now. @throws when there is no such process */
export function rssMiBOf(pid: number): number {
  return fieldOf(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS") / 1024;
}

/**
 * Memory that would be free without the process, were no other process of the same program here:
 * its proportional share, but the program's own file counts whole. Benches run on the same Node
 * as what they measure, and would otherwise pay for half of it.
 */
export function ownPssMiBOf(pid: number): number {
  const program = readlinkSync(`/proc/${pid}/exe`);
  let kib = 0;
  let isProgram = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const [word = "", value] = line.split(/ +/, 2);
    if (/^[0-9a-f]+-[0-9a-f]+$/.test(word)) isProgram = line.endsWith(` ${program}`);
    else if (word === (isProgram ? "Rss:" : "Pss:")) kib += Number(value);
  }
  return kib / 1024;
}

/** The process and all it has started, directly or not. */
export function processTree(pid: number): number[] {
  const pids = [pid];
  for (const parent of pids) {
    for (const task of listOrNone(`/proc/${parent}/task`)) {
      const children = readOrEmpty(`/proc/${parent}/task/${task}/children`);
      pids.push(...children.split(" ").filter(Boolean).map(Number));
    }
  }
  return pids;
}

/** Watches the memory of a process and of what it starts. */
export class MemoryWatch implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #peakMiB = 0;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      const files = processTree(pid).map((one) => readOrEmpty(`/proc/${one}/status`));
      const kib = files.reduce((sum, file) => sum + (fieldOf(file, "VmRSS") || 0), 0);
      this.#peakMiB = Math.max(this.#peakMiB, kib / 1024);
    }, WATCH_MS);
  }

  /** The most seen so far, all processes together. */
  get peakMiB(): number {
    return this.#peakMiB;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** @returns NaN when the file has no such line, as that of a process that is just ending */
function fieldOf(file: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(file)?.[1]);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // It has ended in the meantime.
  }
}

function listOrNone(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
