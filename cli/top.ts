// `innermesh top`: who talks to whom through this node's proxy, how fast and how well, live.

import { setTimeout as sleep } from "node:timers/promises";
import type { CommandModule } from "yargs";
import type { TopAnswer } from "../service-proxy/model/admin-protocol.ts";
import { Unreachable, WrongUse } from "./exit.ts";
import { connectNode, type NodeConnection } from "./node-connection.ts";
import { OUTPUT_OPTION, SOCKET_OPTION } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { edgeRates, formatEdgeRates } from "./top/edge-rates.ts";

interface TopArguments {
  readonly socket: string;
  readonly once: boolean;
  readonly interval: number;
  readonly endpoints: boolean;
  readonly output: OutputFormat;
}

const CLEAR_SCREEN = "\u001b[H\u001b[2J";

export const topCommand: CommandModule<object, TopArguments> = {
  command: "top",
  describe: "Show the golden signals of every edge through this node's proxy, live",
  builder: (yargs) =>
    yargs
      .usage("innermesh top [--once] [--endpoints] [-o table|json|yaml]")
      .option("once", {
        type: "boolean",
        default: false,
        describe: "Watch for one interval, print, and end",
      })
      .option("interval", {
        type: "number",
        default: 2,
        describe: "Seconds that rates and quantiles are taken over",
      })
      .option("endpoints", {
        type: "boolean",
        default: false,
        describe: "A row for each endpoint",
      })
      .option("socket", SOCKET_OPTION)
      .option("output", OUTPUT_OPTION)
      .example("innermesh top", "edges of this node, busiest first, every 2 seconds")
      .example("innermesh top --once -o json", "for programs")
      .strict(),
  handler: (args) => runTop(args, process.stdout),
};

/** @throws Unreachable when there is no node process to ask, or it ends */
export async function runTop(args: TopArguments, out: NodeJS.WriteStream): Promise<void> {
  if (!(args.interval > 0)) throw new WrongUse(`Cannot wait ${args.interval} s: give --interval`);
  const node = await connectNode(args.socket);
  try {
    let before = await takeTop(node);
    for (;;) {
      await sleep(args.interval * 1_000);
      const after = await takeTop(node);
      const rows = edgeRates(before, after, args.endpoints);
      const text = formatOutput(args.output, rows, () => formatEdgeRates(rows, args.endpoints));
      out.write(out.isTTY && !args.once && args.output === "table" ? CLEAR_SCREEN + text : text);
      if (args.once) return;
      before = after;
    }
  } finally {
    node.close();
  }
}

async function takeTop(node: NodeConnection): Promise<TopAnswer> {
  node.ask({ verb: "top" });
  const answer = await node.next();
  if (answer.kind !== "top") throw new Unreachable("The node's process answers something else");
  return answer;
}
