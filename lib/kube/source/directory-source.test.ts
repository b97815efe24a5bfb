// The source contract against folders, and what folders alone can do wrong.

import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { systemClock } from "../../clock/system-clock.ts";
import { runDirectorySource } from "./directory-source.ts";
import { CONTRACT_NODE, type SourceHarness, testSource } from "./source-contract.ts";

type Extension = "yaml" | "json";

async function makeHarness(extension: Extension): Promise<SourceHarness> {
  const path = await mkdtemp(join(tmpdir(), "im-directory-source-"));
  const format = extension === "yaml" ? stringify : JSON.stringify;
  const fileOf = (kind: unknown, name: unknown): string =>
    join(path, `${String(kind).toLowerCase()}-${String(name)}.${extension}`);
  return {
    async put(manifest) {
      const { name } = manifest["metadata"] as { name: string };
      await writeFile(join(path, ".new"), format(manifest));
      await rename(join(path, ".new"), fileOf(manifest["kind"], name));
    },
    remove: ({ kind, name }) => rm(fileOf(kind, name)),
    run(store, signal) {
      const clock = systemClock;
      return runDirectorySource({ path, store, clock, nodeName: CONTRACT_NODE, signal });
    },
    close: () => rm(path, { recursive: true }),
  };
}

testSource("directory source, YAML", () => makeHarness("yaml"));
testSource("directory source, JSON", () => makeHarness("json"));
