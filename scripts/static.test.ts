// The static steps of `make check` as tests, so that `make test` reports them with all others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runStep, STATIC_STEPS } from "./steps.ts";

for (const step of STATIC_STEPS) {
  test(`the whole tree passes: ${step.name}`, async () => {
    const { ok, output } = await runStep(step);
    assert.ok(ok, `${step.command} ${step.words.join(" ")} found:\n${output}`);
  });
}
