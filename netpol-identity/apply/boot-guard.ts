// The tables that a node may load before its kubelet starts: they forward nothing. They go once
// policies hold, and the next boot brings them again; see manifests/host.

import type { Logger } from "../../lib/log/logger.ts";
import { NftError, type NftKernel } from "../../lib/nft/objects.ts";

export const BOOT_TABLE = "innermesh-boot";
const FAMILIES = ["ip", "ip6"] as const;

export class BootGuard {
  readonly #kernel: Pick<NftKernel, "commit">;
  readonly #log: Logger;
  #isLifted = false;

  constructor(kernel: Pick<NftKernel, "commit">, log: Logger) {
    this.#kernel = kernel;
    this.#log = log;
  }

  /** To be called when policies hold, as often as one likes: what failed is tried again. */
  async lift(): Promise<void> {
    if (this.#isLifted) return;
    this.#isLifted = true;
    for (const family of FAMILIES) {
      try {
        const changes = [{ kind: "delete-table" }] as const;
        await this.#kernel.commit([{ family, table: BOOT_TABLE, changes }]);
        this.#log.info("policies hold: what pods send is forwarded from now on", { family });
      } catch (error) {
        if (error instanceof NftError && error.code === "ENOENT") continue;
        this.#isLifted = false;
        this.#log.warn(`cannot delete table ${family} ${BOOT_TABLE}`, { cause: String(error) });
      }
    }
  }
}
