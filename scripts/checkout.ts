// The files of the checkout as text, without what installs and builds leave behind.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TextFile } from "./tree-rules.ts";

const LEFT_OUT: ReadonlySet<string> = new Set([".git", "node_modules", "build", "results"]);

/** Reads all files below `root`; paths are relative to it. */
export function readCheckout(root: string, folder = ""): readonly TextFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (LEFT_OUT.has(entry.name) || entry.name.endsWith(".log")) return [];
    if (entry.isDirectory()) return readCheckout(root, path);
    return entry.isFile() ? [{ path, text: readFileSync(join(root, path), "utf8") }] : [];
  });
}
