// A limit on the memory of processes, by a control group of the kernel, whichever of its two
// interfaces this machine mounts.

import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const FIRST = {
  root: "/sys/fs/cgroup/memory",
  limit: "memory.limit_in_bytes",
  most: "memory.max_usage_in_bytes",
};
const SECOND = { root: "/sys/fs/cgroup", limit: "memory.max", most: "memory.peak" };
const EMPTY_WITHIN_MS = 5_000;

export class MemoryGroup implements AsyncDisposable {
  readonly #path: string;
  readonly #root: string;
  readonly #most: string;

  /** Use `make`. */
  constructor(path: string, { root, most }: typeof FIRST) {
    this.#path = path;
    this.#root = root;
    this.#most = most;
  }

  static async make(name: string, limitBytes: number): Promise<MemoryGroup> {
    const version = existsSync(FIRST.root) ? FIRST : SECOND;
    const path = `${version.root}/${name}`;
    await mkdir(path, { recursive: true });
    await writeFile(`${path}/${version.limit}`, String(limitBytes));
    return new MemoryGroup(path, version);
  }

  /** What `pid` starts meanwhile is limited; it itself was, and is again, in the root group. */
  async holding(pid: number, body: () => Promise<void>): Promise<void> {
    await writeFile(`${this.#path}/cgroup.procs`, String(pid));
    try {
      await body();
    } finally {
      await writeFile(`${this.#root}/cgroup.procs`, String(pid));
    }
  }

  /** The most that its processes used at one time. */
  async mostBytes(): Promise<number> {
    return Number(await readFile(`${this.#path}/${this.#most}`, "utf8"));
  }

  /** Its processes go on without a limit. */
  async [Symbol.asyncDispose](): Promise<void> {
    const pids = (await readFile(`${this.#path}/cgroup.procs`, "utf8")).split("\n");
    for (const pid of pids.filter((line) => line !== "")) {
      await writeFile(`${this.#root}/cgroup.procs`, pid).catch(() => {});
    }
    for (let ms = 0; ms < EMPTY_WITHIN_MS; ms += 50) {
      if (
        await rmdir(this.#path).then(
          () => true,
          () => false,
        )
      )
        return;
      await delay(50);
    }
  }
}
