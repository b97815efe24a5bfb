// A user's CA from files that are mounted, in place of the Secret: from a vault's agent, or from
// cert-manager's CSI driver. Read again at every look, so that what replaces them is taken up.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SuppliedMaterial } from "./root-supplied.ts";

/**
 * Reads tls.crt, tls.key and ca.crt, which may be missing, of a directory.
 * @returns undefined where neither of the first two is there
 * @throws Error of the file system, when one cannot be read
 */
export async function readSuppliedFiles(directory: string): Promise<SuppliedMaterial | undefined> {
  const [certificate, key, roots] = await Promise.all(
    ["tls.crt", "tls.key", "ca.crt"].map((name) => readIfThere(join(directory, name))),
  );
  if (certificate === undefined && key === undefined) return undefined;
  return {
    ...(certificate !== undefined && { "tls.crt": certificate }),
    ...(key !== undefined && { "tls.key": key }),
    ...(roots !== undefined && { "ca.crt": roots }),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
