import assert from "node:assert/strict";
import { test } from "node:test";
import { PolicyStats } from "./policy-stats.ts";

test("what workers say is summed, and however many come, names stay within a limit", () => {
  const stats = new PolicyStats();
  stats.add({ verdicts: [["ingress", "deny", "NetworkPolicy a/b", 2]] });
  stats.add({ verdicts: [["ingress", "deny", "NetworkPolicy a/b", 3]] });
  assert.deepEqual(
    [...stats.verdicts],
    [{ direction: "ingress", verdict: "deny", policy: "NetworkPolicy a/b", times: 5 }],
  );
  for (let i = 0; i < 1_000; i++) {
    stats.add({ verdicts: [["egress", "allow", `NetworkPolicy a/p${i}`, 1]] });
  }
  assert.equal([...stats.verdicts].length, 401);
});
