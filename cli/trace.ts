// `innermesh trace`: walks a packet through the planned ruleset and shows every step; where a proxy
// worker takes the connection, also what the worker does with it.

import type { CommandModule } from "yargs";
import {
  FLAGS_POSITIONAL,
  HEADER_OPTION,
  NODE_OPTION,
  OUTPUT_OPTION,
  withNode,
} from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { takeSnapshot } from "./snapshot.ts";
import { type TraceQuestion, trace } from "./trace/packet-trace.ts";
import { formatTrace } from "./trace/trace-text.ts";

interface TraceArguments extends TraceQuestion {
  readonly node: string | undefined;
  readonly output: OutputFormat;
  readonly flags: readonly string[];
}

export const traceCommand: CommandModule<object, TraceArguments> = {
  command: "trace [flags..]",
  describe: "Show a packet's way through a node's rules",
  builder: (yargs) =>
    yargs
      .usage("innermesh trace --from POD|ADDRESS|node --to ADDRESS:PORT|SERVICE:PORT[/udp]")
      .option("from", {
        type: "string",
        demandOption: true,
        describe: "NAMESPACE/POD, an address, or `node` for a process of the node itself",
      })
      .option("to", {
        type: "string",
        demandOption: true,
        describe: "ADDRESS:PORT, [IPV6]:PORT or NAMESPACE/SERVICE:PORT; /udp or /sctp after it",
      })
      .option("node", NODE_OPTION)
      .option("interface", {
        type: "string",
        describe: "The interface it enters through; guessed when local traffic goes by name",
      })
      .option("request", {
        type: "string",
        describe: 'A request on the connection, "GET /path": which rule of its routes serves it',
      })
      .option("header", HEADER_OPTION)
      .option("output", OUTPUT_OPTION)
      .positional("flags", FLAGS_POSITIONAL)
      .example(
        "innermesh trace --source dir:examples/services --from 10.71.1.2 --to default/web:80",
        "a pod's way to a Service",
      )
      .example(
        'innermesh trace --from shop/front --to shop/search:80 --request "GET /" -H x-group:beta',
        "which rule serves a request",
      ),
  handler: async (args) => {
    const snapshot = await takeSnapshot(withNode(args.flags, args.node));
    const report = await trace(snapshot, args);
    process.stdout.write(formatOutput(args.output, report, () => formatTrace(report)));
  },
};
