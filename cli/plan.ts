// `innermesh plan`: prints what a node would program, and what it would tell its proxy workers,
// without touching any kernel.

import { stringify } from "yaml";
import type { CommandModule } from "yargs";
import { formatTransaction } from "../lib/nft/text.ts";
import type { ProxyPlanDelta } from "../service-proxy/model/proxy-plan.ts";
import { wholeTransaction } from "../service-proxy/plan/changes.ts";
import { FLAGS_POSITIONAL, withNode } from "./options.ts";
import { formatOutput, formatTable, OUTPUT_FORMATS, type OutputFormat } from "./output.ts";
import { takeSnapshot } from "./snapshot.ts";

interface PlanArguments {
  readonly output: OutputFormat | "nft" | "proxy";
  readonly node: string | undefined;
  readonly flags: readonly string[];
}

export const planCommand: CommandModule<object, PlanArguments> = {
  command: "plan [flags..]",
  describe: "Print the nftables rules a node would program, and its proxy workers' plan",
  builder: (yargs) =>
    yargs
      .usage(
        "innermesh plan [--source dir:PATH] [-o nft|proxy|json|yaml|table] [flags of the node]",
      )
      .option("output", {
        alias: "o",
        choices: ["nft", "proxy", ...OUTPUT_FORMATS] as const,
        default: "nft" as const,
        describe:
          "nft prints text that nft -f reads; proxy what workers are told, as YAML; table counts",
      })
      .option("node", { type: "string", describe: "Plan for this node (--hostname-override)" })
      .positional("flags", FLAGS_POSITIONAL)
      .example("innermesh plan --source dir:examples/services --node node-1", "what node-1 gets")
      .example("innermesh plan -o proxy", "doors, ports with their routes, groups of endpoints")
      .example("innermesh plan --node node-1 | nft -c -f -", "let nft check it"),
  handler: async ({ output, node, flags }) => {
    const { plan, nodeName } = await takeSnapshot(withNode(flags, node));
    for (const { object, field, message } of plan.problems()) {
      process.stderr.write(`${object}: ${field}: ${message}\n`);
    }
    if (output === "nft") {
      for (const family of plan.families) {
        process.stdout.write(formatTransaction(wholeTransaction(family)));
      }
      return;
    }
    const tables = plan.families.map((family) => ({
      family: family.options.family,
      node: nodeName,
      sets: Object.fromEntries(
        [...family.ledger.wanted].map(([set, elements]) => [set, [...elements.values()]]),
      ),
      proxy: byKey(family.proxy.whole()),
      problems: family.problems(),
    }));
    if (output === "proxy") {
      const plans = tables.map(({ family, proxy }) => [family, proxy] as const);
      process.stdout.write(stringify(Object.fromEntries(plans), { aliasDuplicateObjects: false }));
      return;
    }
    const rows = (): string[][] => [
      ["FAMILY", "SET", "ELEMENTS"],
      ...tables.flatMap(({ family, sets, proxy }) => [
        ...Object.entries(sets).map(([set, elements]) => [family, set, String(elements.length)]),
        ...Object.entries(proxy).flatMap(([table, values]) => {
          const count = Object.keys(values).length;
          return count === 0 ? [] : [[family, `proxy ${table}`, String(count)]];
        }),
      ]),
    ];
    process.stdout.write(formatOutput(output, tables, () => formatTable(rows())));
  },
};

/** Tables that people can read. */
function byKey({ frontends, ports, groups }: Omit<ProxyPlanDelta, "node" | "clients">) {
  return {
    frontends: Object.fromEntries(frontends),
    ports: Object.fromEntries(ports),
    groups: Object.fromEntries(groups),
  };
}
