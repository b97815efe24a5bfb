import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { versionReport } from "./version.ts";

test("the version is package.json's, and the runtime's is the one that runs", async () => {
  const path = new URL("../package.json", import.meta.url);
  const { version } = JSON.parse(readFileSync(path, "utf8")) as { readonly version: string };
  const report = await versionReport();
  assert.equal(report.version, version);
  assert.equal(report.node, process.version);
  assert.match(report.kernel, /^\d+\.\d+/);
});
