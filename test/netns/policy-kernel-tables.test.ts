// Policies come and go in the kernel's tables by difference: what is there afterwards is what fresh
// tables would hold.

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeLogger } from "../../lib/log/logger.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import type { NftKernel, TableDigest } from "../../lib/nft/objects.ts";
import { wholeTable } from "../../lib/nft/table-plan.ts";
import { PolicyApply } from "../../netpol-identity/apply/policy-apply.ts";
import { sampleList, sampleRule, sampleSet } from "../../netpol-identity/evaluate/sample-set.ts";
import { NO_POLICIES, type NetworkWorld } from "../../netpol-identity/plan/network-world.ts";
import { NetworkPlanner } from "../../netpol-identity/plan/network-tables.ts";
import { planPolicyTables } from "../../netpol-identity/plan/policy-table.ts";
import { POLICY_TABLE, type PolicyWorld } from "../../netpol-identity/plan/policy-table-parts.ts";
import { sampleNetwork } from "../../netpol-identity/plan/sample-network-world.ts";
import { sampleWorld } from "../../netpol-identity/plan/sample-policy-world.ts";
import { enterOwnNamespace, sh } from "./own-namespace.ts";

enterOwnNamespace();

const log = makeLogger({ level: "error", format: "json", destination: { write: () => {} } });

/** Worlds that differ in sets, groups and who has which set. */
function worlds(): readonly NetworkWorld[] {
  const whole = sampleNetwork();
  const [a, b] = whole.pods;
  assert(a?.ingress !== undefined && b?.ingress !== undefined);
  const other = sampleSet({ id: "d", network: sampleList(sampleRule()), otherwise: "deny" });
  const less = new Set(["10.71.2.2"]);
  return [
    NO_POLICIES,
    whole,
    { ...whole, pods: [{ ...a, ingress: b.ingress }, b], gates: [] },
    { ...whole, pods: [{ ...a, ingress: other }], groups: { addresses: () => less }, hold: false },
    { ...whole, pods: [{ ...b, ingress: a.ingress }], carriers: () => less },
    NO_POLICIES,
    whole,
  ];
}

test("from one world to the next the tables are as if made anew, without being replaced", async () => {
  const kernel = await openNetlinkKernel({ thread: "here" });
  let replacements = 0;
  const watched: NftKernel = {
    ...forwarding(kernel),
    commit(transactions) {
      const kinds = transactions.flatMap(({ changes }) => changes.map(({ kind }) => kind));
      if (kinds.includes("delete-table")) replacements++;
      return kernel.commit(transactions);
    },
  };
  const apply = new PolicyApply(watched, log);
  const planner = new NetworkPlanner();
  const base: PolicyWorld = { ...sampleWorld(), bindings: [], bridges: [] };
  const seen: string[] = [];
  for (const network of worlds()) {
    await apply.apply(planPolicyTables({ ...base, network }, planner));
    assert.deepEqual(await apply.audit(), []);
    seen.push(await contents(kernel));
  }
  assert.equal(replacements, 1, "only to begin with");
  for (const [i, network] of worlds().entries()) {
    await kernel.commit(planPolicyTables({ ...base, network }).flatMap(wholeTable));
    assert.equal(seen[i], await contents(kernel), `world ${i}`);
  }
  assert.doesNotMatch(sh("nft list ruleset"), /__set\d/);
  await kernel.close();
});

function forwarding(kernel: NftKernel): NftKernel {
  return {
    commit: (transactions) => kernel.commit(transactions),
    read: (place, table) => kernel.read(place, table),
    digest: (place, table) => kernel.digest(place, table),
    readRules: (...asked) => kernel.readRules(...asked),
    readCounters: (place, table) => kernel.readCounters(place, table),
    generation: () => kernel.generation(),
    close: () => kernel.close(),
  };
}

async function contents(kernel: NftKernel): Promise<string> {
  const digests: (TableDigest | undefined)[] = [];
  for (const place of ["ip", "ip6"] as const) {
    digests.push(await kernel.digest(place, POLICY_TABLE));
  }
  const sorted = (items: Iterable<unknown>): readonly string[] =>
    Array.from(items, (item) => JSON.stringify(item)).toSorted();
  return JSON.stringify(
    digests.map((digest) => [sorted(digest?.sets ?? []), sorted(digest?.chains ?? [])]),
  );
}
