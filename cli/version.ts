// `innermesh version`: what is running here, for people and for bug reports.

import { release } from "node:os";
import type { CommandModule } from "yargs";
import { VERSION } from "../roles/version.ts";
import { runProgram } from "../service-proxy/apply/run-program.ts";
import { OUTPUT_OPTION } from "./options.ts";
import { formatOutput, formatTable, type OutputFormat } from "./output.ts";

interface VersionArguments {
  readonly output: OutputFormat;
}

/** What `-o json` prints. */
export interface VersionReport {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  /** As `uname -r`. */
  readonly kernel: string;
  /** As `nft --version` says; null where there is no such program. */
  readonly nft: string | null;
}

export const versionCommand: CommandModule<object, VersionArguments> = {
  command: "version",
  describe: "Print the versions of everything that matters",
  builder: (yargs) => yargs.option("output", OUTPUT_OPTION),
  handler: async ({ output }) => {
    const report = await versionReport();
    const rows = (): string[][] => [
      ["innermesh", report.version],
      ["node", report.node],
      ["platform", report.platform],
      ["kernel", report.kernel],
      ["nft", report.nft ?? "none"],
    ];
    process.stdout.write(formatOutput(output, report, () => formatTable(rows())));
  },
};

export async function versionReport(): Promise<VersionReport> {
  const nft = await runProgram("nft", ["--version"]);
  return {
    version: VERSION,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    kernel: release(),
    nft: nft.kind === "missing" ? null : (/v(\d\S*)/.exec(nft.stdout)?.[1] ?? null),
  };
}
