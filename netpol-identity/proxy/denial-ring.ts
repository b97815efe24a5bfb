// What a worker denied since it last told: the newest few, like ones together, and some of each
// client. What is told each second stays small, however many are denied.

import type { WorkerDenial } from "../model/denial-report.ts";
import { FairRecords } from "../model/fair-records.ts";

const MOST_DENIALS = 50;
const MOST_PATH_CHARACTERS = 256;

export class DenialRing {
  readonly #denials = new FairRecords<WorkerDenial>(MOST_DENIALS);

  add(denial: Omit<WorkerDenial, "times">): void {
    const { path, ...rest } = denial;
    const told = {
      ...rest,
      ...(path !== undefined && { path: path.slice(0, MOST_PATH_CHARACTERS) }),
    };
    const key = JSON.stringify(told);
    const times = (this.#denials.get(key)?.times ?? 0) + 1;
    this.#denials.set(key, told.client, { ...told, times });
  }

  /** The newest last. */
  take(): readonly WorkerDenial[] {
    const taken = this.#denials.values();
    this.#denials.clear();
    return taken;
  }
}
