// `innermesh check`: is this node, and this cluster, fit for the agent, and does the agent work?

import { readFileSync } from "node:fs";
import type { CommandModule } from "yargs";
import { parseNodeFlags } from "../service-proxy/config/node-flags.ts";
import { formatSettingProblem } from "../service-proxy/config/setting-problem.ts";
import { type CheckReport, exitCodeOf, judge } from "./check/checks.ts";
import { gather } from "./check/gather.ts";
import type { Status } from "./check/verdict.ts";
import { WrongUse } from "./exit.ts";
import { FLAGS_POSITIONAL, OUTPUT_OPTION, withNode } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";

interface CheckArguments {
  readonly pre: boolean;
  readonly node: string | undefined;
  readonly output: OutputFormat;
  readonly flags: readonly string[];
}

export const checkCommand: CommandModule<object, CheckArguments> = {
  command: "check [flags..]",
  describe: "Check that this node and cluster are fit, and that the agent works",
  builder: (yargs) =>
    yargs
      .usage("innermesh check [--pre] [-o table|json|yaml] [flags of innermesh node]")
      .option("pre", {
        type: "boolean",
        default: false,
        describe: "Before an install: expect no agent, and kube-proxy in its place",
      })
      .option("node", { type: "string", describe: "This node's name (--hostname-override)" })
      .option("output", OUTPUT_OPTION)
      .positional("flags", FLAGS_POSITIONAL)
      .example("innermesh check --pre --config=kube-proxy.conf", "is this node ready for us?")
      .example("innermesh check -o json", "for programs; exit code 1 when a check fails"),
  handler: async ({ pre, node, output, flags }) => {
    process.exitCode = await runCheck(
      { flags: withNode(flags, node), pre, output },
      process.stdout,
    );
  },
};

export interface CheckOptions {
  /** What `innermesh node` is, or would be, given. */
  readonly flags: readonly string[];
  readonly pre: boolean;
  readonly output: OutputFormat;
}

/**
 * Gathers, judges and prints.
 * @returns the exit code: 0 fine, 1 a check fails, 3 neither kernel nor cluster can be asked
 * @throws WrongUse when the flags are wrong
 */
export async function runCheck(
  { flags, pre, output }: CheckOptions,
  out: { write(text: string): unknown },
): Promise<number> {
  const { settings, errors } = parseNodeFlags(flags, (path) => readFileSync(path, "utf8"));
  if (errors.length > 0) throw new WrongUse(errors.map(formatSettingProblem).join("\n"));
  const facts = await gather(flags, settings, pre);
  const report = judge(facts);
  out.write(formatOutput(output, report, () => formatReport(report)));
  return exitCodeOf(facts, report);
}

const MARKS: Readonly<Record<Status, string>> = {
  ok: "ok  ",
  warn: "WARN",
  fail: "FAIL",
  skip: "skip",
};

function formatReport({ node, results, totals }: CheckReport): string {
  const width = Math.max(...results.map(({ id }) => id.length));
  const lines = results.flatMap(({ id, status, message, hint }) => [
    `${MARKS[status]}  ${id.padEnd(width)}  ${message}`,
    ...(hint === undefined ? [] : [`${" ".repeat(width + 8)}→ ${hint}`]),
  ]);
  const { ok, warn, fail, skip } = totals;
  const sum = `${ok} ok, ${warn} warnings, ${fail} failed, ${skip} skipped`;
  return [`node ${node}`, "", ...lines, "", `${results.length} checks: ${sum}`, ""].join("\n");
}
