// `innermesh policy`: what a node remembers of connections, and what a change of policies would do
// to them.

import type { ArgumentsCamelCase, CommandModule } from "yargs";
import type { DenialReport } from "../netpol-identity/model/denial-report.ts";
import { POLICY_FLAG } from "./can.ts";
import { WrongUse } from "./exit.ts";
import { askNode } from "./node-connection.ts";
import {
  FILES_OPTION,
  FLAGS_POSITIONAL,
  OUTPUT_OPTION,
  REPEATED_OPTION,
  SOCKET_OPTION,
} from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { formatDenials } from "./policy/denial-text.ts";
import { askEdges, readEdges } from "./policy/edge-files.ts";
import { formatDiff, formatEdges } from "./policy/edge-text.ts";
import { convertPolicies } from "./policy/policy-convert.ts";
import { diffPolicies } from "./policy/policy-diff.ts";
import { parseRemoval, readPolicyFiles } from "./policy/policy-files.ts";
import { takeSnapshot } from "./snapshot.ts";

interface RecordArguments {
  readonly socket: string;
  readonly output: OutputFormat;
}

interface DiffArguments extends RecordArguments {
  readonly file: readonly string[];
  readonly delete: readonly string[];
  readonly edges: readonly string[];
  readonly flags: readonly string[];
}

const diffCommand: CommandModule<object, DiffArguments> = {
  command: "diff [flags..]",
  describe: "Say which recorded edges a change would newly deny or allow",
  builder: (yargs) =>
    yargs
      .usage("innermesh policy diff [-f FILE] [--delete KIND/NAMESPACE/NAME] [flags of the node]")
      .option("file", FILES_OPTION)
      .option("delete", { ...REPEATED_OPTION, describe: "A policy to leave out; may be repeated" })
      .option("edges", {
        ...REPEATED_OPTION,
        describe: "What `policy edges -o json` said on some node; without it this node is asked",
      })
      .option("socket", SOCKET_OPTION)
      .option("output", OUTPUT_OPTION)
      .positional("flags", FLAGS_POSITIONAL)
      .example(
        "innermesh policy diff -f new.yaml --identity=off",
        "exit code 1 when something would be newly denied",
      ),
  handler: runDiff,
};

const edgesCommand: CommandModule<object, RecordArguments> = {
  command: "edges",
  describe: "Show who called whom on this node lately",
  builder: (yargs) =>
    yargs.option("socket", SOCKET_OPTION).option("output", OUTPUT_OPTION).strict(),
  handler: async ({ socket, output }) => {
    const report = await askEdges(socket);
    print(output, report, () => formatEdges(report, Date.now()));
  },
};

const denialsCommand: CommandModule<object, RecordArguments> = {
  command: "denials",
  describe: "Show who was kept from whom on this node lately",
  builder: (yargs) =>
    yargs.option("socket", SOCKET_OPTION).option("output", OUTPUT_OPTION).strict(),
  handler: async ({ socket, output }) => {
    const report = await askDenials(socket);
    print(output, report, () => formatDenials(report, Date.now()));
  },
};

const convertCommand: CommandModule<object, { readonly file: string }> = {
  command: "convert <file>",
  describe: "Write GEP-3779 AuthorizationPolicies as ServiceAccountPolicies, and the other way",
  builder: (yargs) =>
    yargs
      .positional("file", { type: "string", demandOption: true })
      .example("innermesh policy convert theirs.yaml", "exit code 1 when something has no words"),
  handler: ({ file }) => {
    const { text, unsaid } = convertPolicies(file);
    process.stdout.write(text);
    for (const { object, field, message } of unsaid) {
      process.stderr.write(`${object}: ${field}: ${message}\n`);
    }
    if (unsaid.length > 0) process.exitCode = 1;
  },
};

export const policyCommand: CommandModule = {
  command: "policy",
  describe: "Rehearse a change of policies; show recorded edges and denials; convert policies",
  builder: (yargs) =>
    yargs
      .command(diffCommand)
      .command(edgesCommand)
      .command(denialsCommand)
      .command(convertCommand)
      .demandCommand(1, "Say what to do: diff, edges, denials or convert."),
  handler: () => {},
};

/** @throws Unreachable when nobody answers, or no policies are enforced there */
export async function askDenials(socket: string): Promise<DenialReport> {
  const { report } = await askNode(socket, { verb: "denials" }, "policy");
  // Of our own process: it has this shape.
  return report as DenialReport;
}

async function runDiff(args: ArgumentsCamelCase<DiffArguments>): Promise<void> {
  const { file, edges, socket, output, flags } = args;
  const change = { put: readPolicyFiles(file), remove: args.delete.map(parseRemoval) };
  if (change.put.length + change.remove.length === 0) {
    throw new WrongUse("Cannot rehearse nothing: name a file with -f, or a policy with --delete");
  }
  const reports = edges.length > 0 ? edges.map(readEdges) : [await askEdges(socket)];
  const snapshot = await takeSnapshot([...flags, POLICY_FLAG]);
  const diff = diffPolicies(snapshot, change, reports);
  print(output, diff, () => formatDiff(diff, Date.now()));
  if (diff.denied.length + diff.requests.denied.length > 0) process.exitCode = 1;
}

function print(output: OutputFormat, report: unknown, text: () => string): void {
  process.stdout.write(formatOutput(output, report, text));
}
