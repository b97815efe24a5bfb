// Fetches the foreign programs while there is a network to fetch them from.

import { ensureBinaries } from "../cluster/binaries.ts";
import { ensureEnvoy } from "./envoy-binary.ts";

/** To be awaited before a test moves into a network namespace of its own. */
export async function preparePeers(): Promise<void> {
  await ensureBinaries(["hbone-peer", "certificate-lint"]);
  await ensureEnvoy();
}
