import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerSeries, formatControllerMetrics, sharedSeries } from "./controller-catalogue.ts";
import { makeControllerMetrics } from "./controller-metrics.ts";

test("every series of the controller's catalogue is exported and documented", async () => {
  const page = await makeControllerMetrics().page.metrics();
  const table = formatControllerMetrics();
  for (const { name, type } of Object.values({ ...controllerSeries, ...sharedSeries })) {
    assert.ok(page.includes(`# TYPE ${name} ${type}\n`), name);
    assert.ok(table.includes(`\`${name}\``), name);
  }
});
