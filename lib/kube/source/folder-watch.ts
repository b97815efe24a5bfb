// Says when something in a folder may have changed. The kernel's word is only a hint: it is lost
// when the folder itself is replaced or sits on a network file system, so callers poll as well.

import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import type { Clock } from "../../clock/clock.ts";

export class FolderWatch {
  readonly #path: string;
  #watcher: FSWatcher | undefined;
  #inode = -1n;
  #hint = new AbortController();

  constructor(path: string) {
    this.#path = path;
  }

  /** Forgets earlier hints, and watches the folder that is at the path now. Never rejects. */
  async arm(): Promise<void> {
    this.#hint = new AbortController();
    try {
      const { ino } = await stat(this.#path, { bigint: true });
      if (ino === this.#inode) return;
      this.close();
      this.#watcher = watch(this.#path, () => this.#hint.abort());
      this.#watcher.on("error", () => this.close());
      this.#inode = ino;
    } catch {
      // There is no folder yet, or no more inotify watches to be had: polling goes on.
      this.close();
    }
  }

  /** Resolves at the first hint since `arm`, after `pollMs`, or when `signal` aborts. */
  async hint(clock: Clock, pollMs: number, signal: AbortSignal): Promise<void> {
    await clock.sleep(pollMs, AbortSignal.any([signal, this.#hint.signal]));
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#inode = -1n;
  }
}
