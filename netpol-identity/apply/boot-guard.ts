// The tables that a node may load before its kubelet starts: they forward nothing. They go once
// policies hold, and the next boot brings them again; see manifests/host.

import type { Clock } from "../../lib/clock/clock.ts";
import type { Logger } from "../../lib/log/logger.ts";
import { type Family, NftError, type NftKernel } from "../../lib/nft/objects.ts";

export interface BootGuardParts {
  readonly kernel: Pick<NftKernel, "commit">;
  readonly clock: Clock;
  readonly log: Logger;
}

export const BOOT_TABLE = "innermesh-boot";
export const RETRY_MS = 1_000;
const FAMILIES = ["ip", "ip6"] as const;

export class BootGuard {
  readonly #parts: BootGuardParts;
  #isLifting = false;

  constructor(parts: BootGuardParts) {
    this.#parts = parts;
  }

  /**
   * To be called when policies hold: once or more, it does its work once. Tries until `signal`
   * aborts. Never rejects.
   */
  async lift(signal: AbortSignal): Promise<void> {
    if (this.#isLifting) return;
    this.#isLifting = true;
    for (const family of FAMILIES) {
      while (!signal.aborted && !(await this.#delete(family))) {
        await this.#parts.clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** @returns whether there is none any more */
  async #delete(family: Family): Promise<boolean> {
    const { kernel, log } = this.#parts;
    try {
      const changes = [{ kind: "delete-table" }] as const;
      await kernel.commit([{ family, table: BOOT_TABLE, changes }]);
      log.info("policies hold: what pods send is forwarded from now on", { family });
      return true;
    } catch (error) {
      if (error instanceof NftError && error.code === "ENOENT") return true;
      log.warn(`cannot delete table ${family} ${BOOT_TABLE}`, { cause: String(error) });
      return false;
    }
  }
}
