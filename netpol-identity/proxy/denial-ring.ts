// What a worker denied since it last told: the newest few, like ones together. What is told each
// second stays small, however many are denied.

import type { WorkerDenial } from "../model/denial-report.ts";

const MOST_DENIALS = 50;
const MOST_PATH_CHARACTERS = 256;

export class DenialRing {
  readonly #denials = new Map<string, WorkerDenial>();

  add(denial: Omit<WorkerDenial, "times">): void {
    const { path, ...rest } = denial;
    const told = {
      ...rest,
      ...(path !== undefined && { path: path.slice(0, MOST_PATH_CHARACTERS) }),
    };
    const key = JSON.stringify(told);
    const times = (this.#denials.get(key)?.times ?? 0) + 1;
    this.#denials.delete(key);
    this.#denials.set(key, { ...told, times });
    const [oldest] = this.#denials.keys();
    if (this.#denials.size > MOST_DENIALS && oldest !== undefined) this.#denials.delete(oldest);
  }

  /** The newest last. */
  take(): readonly WorkerDenial[] {
    const taken = [...this.#denials.values()];
    this.#denials.clear();
    return taken;
  }
}
