// `node manifests/render.ts` writes kustomize's base and the Helm chart; with --check it writes
// nothing and says what differs, with exit code 1.

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { manifestFiles } from "./manifest-text.ts";

/** Folders that hold nothing but generated files. */
const generatedFolders = ["kustomize/base", "helm/innermesh"];

/**
 * Compares what is committed with what the source makes.
 * @param folder manifests/ itself
 * @returns one line per difference: a file that is missing, stale or too many
 */
export async function staleFiles(folder: string): Promise<readonly string[]> {
  const wanted = manifestFiles();
  const stale: string[] = [];
  for (const [path, text] of wanted) {
    const found = await readFile(join(folder, path), "utf8").catch(() => undefined);
    if (found === undefined) stale.push(`${path} is missing`);
    else if (found !== text) stale.push(`${path} is stale`);
  }
  for (const path of await committedFiles(folder)) {
    if (!wanted.has(path)) stale.push(`${path} has no source`);
  }
  return stale;
}

/** Makes the folder hold exactly what the source makes. */
export async function writeFiles(folder: string): Promise<void> {
  const wanted = manifestFiles();
  for (const path of await committedFiles(folder)) {
    if (!wanted.has(path)) await rm(join(folder, path));
  }
  for (const [path, text] of wanted) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

async function committedFiles(folder: string): Promise<readonly string[]> {
  const found = await Promise.all(
    generatedFolders.map(async (generated) => {
      const entries = await readdir(join(folder, generated), {
        recursive: true,
        withFileTypes: true,
      }).catch(() => []);
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
    }),
  );
  return found.flat();
}

if (import.meta.main) {
  const folder = import.meta.dirname;
  if (process.argv.includes("--check")) {
    const stale = await staleFiles(folder);
    for (const line of stale) process.stderr.write(`manifests/${line}\n`);
    if (stale.length > 0) {
      process.stderr.write("Run `node manifests/render.ts` and commit what it writes.\n");
      process.exitCode = 1;
    }
  } else {
    await writeFiles(folder);
  }
}
