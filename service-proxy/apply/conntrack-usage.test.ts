import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeNodeMetrics } from "../../lib/metrics/node-metrics.ts";
import { withConntrackUsage } from "./conntrack-usage.ts";

test("the table is measured whenever the page is read, and is empty where there is none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "innermesh-conntrack-"));
  try {
    const page = withConntrackUsage(makeNodeMetrics(), folder);
    assert.match(await page.metrics(), /^innermesh_conntrack_limit 0$/m);
    await writeFile(join(folder, "nf_conntrack_count"), "17\n");
    await writeFile(join(folder, "nf_conntrack_max"), "262144\n");
    const text = await page.metrics();
    assert.match(text, /^innermesh_conntrack_entries 17$/m);
    assert.match(text, /^innermesh_conntrack_limit 262144$/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});
