// `innermesh can`: may one reach another, by which rule, proved how, from live objects or from
// files that nobody has applied yet.

import type { CommandModule } from "yargs";
import { fieldValue } from "../lib/http/message.ts";
import { type Protocol, clientsOf, serversOf } from "./can/can-names.ts";
import { type CanReport, type CanRequest, reportCan } from "./can/can-report.ts";
import { formatCan } from "./can/can-text.ts";
import { CanWorld } from "./can/can-world.ts";
import { WrongUse } from "./exit.ts";
import { FILES_OPTION, FLAGS_POSITIONAL, HEADER_OPTION, OUTPUT_OPTION } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { applyPolicies, readPolicyFiles } from "./policy/policy-files.ts";
import { takeSnapshot } from "./snapshot.ts";
import { parseRequest } from "./trace/request-option.ts";

interface CanArguments {
  readonly from: string;
  readonly to: string;
  readonly protocol: Lowercase<Protocol>;
  readonly host: string;
  readonly header: readonly string[];
  readonly file: readonly string[];
  readonly output: OutputFormat;
  /** A request's method and path, then flags of the node. */
  readonly rest: readonly string[];
}

const PROTOCOLS = { tcp: "TCP", udp: "UDP", sctp: "SCTP" } as const;

/** Policies are read whatever the node's own setting is. */
export const POLICY_FLAG = "--network-policy=enforce";

export const canCommand: CommandModule<object, CanArguments> = {
  command: "can <from> <to> [rest..]",
  describe: "Say whether one may reach another by policies, and why",
  builder: (yargs) =>
    yargs
      .usage("innermesh can FROM TO:PORT [METHOD PATH] [-f FILE] [flags of innermesh node]")
      .positional("from", {
        type: "string",
        demandOption: true,
        describe: "NAMESPACE/POD, NAMESPACE/sa/NAME (its pods), or an address",
      })
      .positional("to", {
        type: "string",
        demandOption: true,
        describe: "The same with :PORT, by number or name; also NAMESPACE/svc/NAME:PORT",
      })
      .option("protocol", {
        choices: Object.keys(PROTOCOLS) as Lowercase<Protocol>[],
        default: "tcp" as const,
        describe: "Over what",
      })
      .option("host", { type: "string", default: "", describe: "Whom the request names" })
      .option("header", HEADER_OPTION)
      .option("file", FILES_OPTION)
      .option("output", OUTPUT_OPTION)
      .positional("rest", FLAGS_POSITIONAL)
      .example(
        "innermesh can shop/front shop/payments:8080 --source dir:examples/policy",
        "what its policies say; exit code 0 when allowed, 1 when not",
      )
      .example(
        "innermesh can shop/sa/batch shop/svc/orders:80 POST /orders -f new.yaml --identity=off",
        "before new.yaml is applied; with the agent's own --identity",
      ),
  handler: async ({ output, ...args }) => {
    const report = await askCan(args);
    process.stdout.write(formatOutput(output, report, () => formatCan(report)));
    if (report.verdict !== "allow") process.exitCode = 1;
  },
};

/** @throws WrongUse, Unreachable */
export async function askCan(args: Omit<CanArguments, "output">): Promise<CanReport> {
  const { from, to, file, rest } = args;
  const protocol = PROTOCOLS[args.protocol];
  const isRequest = /^[A-Z]+$/.test(rest[0] ?? "");
  const request = isRequest ? requestOf(args) : undefined;
  if (!isRequest && (args.header.length > 0 || args.host !== "")) {
    throw new WrongUse("--header and --host say nothing without METHOD PATH after TO");
  }
  const put = readPolicyFiles(file);
  const snapshot = await takeSnapshot([...rest.slice(isRequest ? 2 : 0), POLICY_FLAG]);
  applyPolicies(snapshot.store, { put, remove: [] });
  const world = new CanWorld(snapshot);
  const parties = {
    clients: clientsOf(world, from),
    servers: serversOf(world, to, protocol),
  };
  return reportCan(world, { from, to, protocol, request }, parties);
}

/** As a worker would forward it: without its query, dots resolved. */
function requestOf({ rest, header, host, to }: Omit<CanArguments, "output">): CanRequest {
  const text = `${rest[0] ?? ""} ${rest[1] ?? ""}`.trim();
  const head = parseRequest(text, header, host === "" ? to : host);
  const { pathname } = new URL(head.path, "http://any");
  return {
    text,
    facts: {
      method: head.method,
      path: pathname,
      host: head.authority.replace(/:\d+$/, "").toLowerCase(),
      header: (name) => fieldValue(head.fields, name),
    },
  };
}
