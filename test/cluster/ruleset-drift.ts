// Program: compares this namespace's nf_tables with a fresh plan from the API server and prints
// what differs as a JSON list of sentences. Takes the flags of `innermesh node`, and on standard
// input the addresses of all other nodes as a JSON list.

import { json } from "node:stream/consumers";
import { takeSnapshot } from "../../cli/snapshot.ts";
import { readHostAddresses } from "../../lib/netlink/route.ts";
import { openNetlinkKernel } from "../../lib/nft/kernel.ts";
import type { Family, TableContents } from "../../lib/nft/objects.ts";
import { staleChains } from "../../service-proxy/plan/changes.ts";
import type { FamilyPlan } from "../../service-proxy/plan/family-plan.ts";
import { NodePlan } from "../../service-proxy/plan/node-plan.ts";
import { demandedChains, fixedChains, TABLE } from "../../service-proxy/plan/ruleset.ts";
import { tableSettings } from "../../service-proxy/plan/table-settings.ts";

const FAMILIES: readonly Family[] = ["ip", "ip6"];
const MAXIMUM_LINES = 50;

const { settings, nodeName, store } = await takeSnapshot(process.argv.slice(2));
const kernel = await openNetlinkKernel({ thread: "here" });
const installed = new Map<Family, TableContents>();
for (const family of FAMILIES) {
  const contents = await kernel.read(family, TABLE);
  if (contents !== undefined) installed.set(family, contents);
}
await kernel.close();
// Ids are taken from the kernel: they are names without meaning, and any will do.
const table = tableSettings(settings, nodeName, []);
const otherNodes = (await json(process.stdin)) as readonly string[];
const plan = new NodePlan(table, store, await readHostAddresses(), installed, { otherNodes });
const drift = plan.families.flatMap((family) => driftOf(family));
process.stdout.write(`${JSON.stringify(drift.slice(0, MAXIMUM_LINES))}\n`);

function driftOf(plan: FamilyPlan): string[] {
  const { family } = plan.options;
  const contents = installed.get(family);
  if (contents === undefined) return [`no table ${family} ${TABLE}`];
  plan.ledger.compare(contents);
  const drift: string[] = [];
  for (const [set, keys] of plan.ledger.takeDifference()) {
    for (const [key, { before, after }] of keys) {
      const [is, shall] = [before?.data ?? before?.key, after?.data ?? after?.key];
      drift.push(`${family} ${set} ${key}: is ${is ?? "missing"}, shall be ${shall ?? "gone"}`);
    }
  }
  for (const { spec } of [
    ...fixedChains(plan.options),
    ...demandedChains(plan.options, plan.demand()),
  ]) {
    if (!contents.chains.has(spec.name)) drift.push(`${family} chain ${spec.name} is missing`);
  }
  // Chains for endpoint counts that nobody has any more go at the next start; they cost nothing.
  const stale = staleChains(plan, contents).filter((name) => !/^(mod|aff|aff-use)-\d+$/.test(name));
  return [...drift, ...stale.map((name) => `${family} chain ${name} is not ours`)];
}
