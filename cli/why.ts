// `innermesh why`: what becomes of one connection on this node, and which rule says so.

import type { CommandModule } from "yargs";
import type { Denial } from "../netpol-identity/model/denial-report.ts";
import { POLICY_FLAG } from "./can.ts";
import { CanWorld } from "./can/can-world.ts";
import { Unreachable } from "./exit.ts";
import { NODE_OPTION, OUTPUT_OPTION, SOCKET_OPTION, withNode } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { askDenials } from "./policy.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { isThisMachine } from "./this-machine.ts";
import { type AskedConnection, parseConnection } from "./why/connection-words.ts";
import { findLiveFlow } from "./why/live-flow.ts";
import { reportWhy, type WhyWitness } from "./why/why-report.ts";
import { formatWhy } from "./why/why-text.ts";

interface WhyArguments {
  /** Words of the connection, then flags of the node. */
  readonly connection: readonly string[];
  readonly node: string | undefined;
  readonly socket: string;
  readonly output: OutputFormat;
}

export const whyCommand: CommandModule<object, WhyArguments> = {
  command: "why <connection..>",
  describe: "Say what becomes of a connection on this node, and why",
  builder: (yargs) =>
    yargs
      .usage("innermesh why SRC[:PORT] DST:PORT[/udp] [flags of innermesh node]")
      .positional("connection", {
        array: true,
        type: "string",
        demandOption: true,
        describe:
          'Its ends, "SRC -> DST:PORT", or a line of conntrack -L; SRC may be NAMESPACE/POD',
      })
      .option("node", NODE_OPTION)
      .option("socket", SOCKET_OPTION)
      .option("output", OUTPUT_OPTION)
      .example("innermesh why 10.72.1.2 10.72.1.3:8080", "lane, endpoints, policies, denials")
      .example(
        'innermesh why "tcp src=10.72.1.2 dst=10.96.0.10 sport=4711 dport=80"',
        "the connection that conntrack tells of, and where it leads",
      ),
  handler: async ({ connection, node, socket, output }) => {
    const end = connection.findIndex((word) => /^-[^>]/.test(word));
    const words = end < 0 ? connection : connection.slice(0, end);
    const flags = end < 0 ? [] : connection.slice(end);
    const asked = parseConnection(words.join(" "));
    const snapshot = await takeSnapshot([...withNode(flags, node), POLICY_FLAG]);
    const witness = await witnessOf(snapshot, asked, socket);
    const report = await reportWhy(new CanWorld(snapshot), asked, witness);
    process.stdout.write(formatOutput(output, report, () => formatWhy(report, Date.now())));
    if (report.policies?.verdict !== "allow") process.exitCode = 1;
  },
};

/** Asks this machine's kernel and agent where this machine is the node. */
async function witnessOf(
  snapshot: Snapshot,
  asked: AskedConnection,
  socket: string,
): Promise<WhyWitness> {
  const isHere = await isThisMachine(snapshot);
  return {
    isHere,
    live: async (source) => {
      const reply = isHere ? (await findLiveFlow(source, asked))?.reply : undefined;
      return reply && { address: reply.source, port: reply.sourcePort };
    },
    denials: async () => (isHere ? recordedDenials(socket) : undefined),
  };
}

async function recordedDenials(socket: string): Promise<readonly Denial[] | undefined> {
  try {
    return (await askDenials(socket)).denials;
  } catch (error) {
    if (error instanceof Unreachable) return undefined;
    throw error;
  }
}
