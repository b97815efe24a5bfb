// Deletes whole nft tables: what `innermesh cleanup` does to our own.

import { type Family, type Layer, NftError, type NftKernel } from "../../lib/nft/objects.ts";

const families = ["ip", "ip6"] as const;
const layers = ["netdev", "bridge"] as const;

/**
 * Deletes a table with all it holds, in one commit and without reading it.
 * @returns whether there was one
 * @throws NftError
 */
export async function deleteTable(
  kernel: NftKernel,
  family: Family,
  table: string,
  layer?: Layer,
): Promise<boolean> {
  const place = { family, table, ...(layer === undefined ? {} : { layer }) };
  try {
    await kernel.commit([{ ...place, changes: [{ kind: "delete-table" }] }]);
    return true;
  } catch (error) {
    if (error instanceof NftError && error.code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Removes everything Innermesh programmed. Flows that it translated stay alive while somebody else
 * has rules that translate: conntrack knows how, but without any such rule the kernel tracks none.
 * @returns one line for each thing that went; empty when nothing was there
 * @throws NftError
 */
export async function removeOwnTables(kernel: NftKernel): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const family of families) {
    if (await deleteTable(kernel, family, "innermesh")) {
      removed.push(`nft table ${family} innermesh`);
    }
  }
  for (const layer of layers) {
    if (await deleteTable(kernel, "ip", "innermesh", layer)) {
      removed.push(`nft table ${layer} innermesh`);
    }
  }
  return removed;
}
