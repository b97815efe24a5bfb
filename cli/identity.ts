// `innermesh identity`: who has which certificate on this node, and why a pod has none.

import type { CommandModule } from "yargs";
import { WrongUse } from "./exit.ts";
import { formatIdentities } from "./identity/identity-text.ts";
import { askIdentities } from "./identity/node-identities.ts";
import { narrowReport } from "./identity/narrow-report.ts";
import { OUTPUT_OPTION, SOCKET_OPTION } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";

interface IdentityArguments {
  readonly subject: string | undefined;
  readonly peers: boolean;
  readonly socket: string;
  readonly output: OutputFormat;
}

export const identityCommand: CommandModule<object, IdentityArguments> = {
  command: "identity [subject]",
  describe: "Show who has which certificate on this node, and why a pod has none",
  builder: (yargs) =>
    yargs
      .usage("innermesh identity [NAMESPACE/POD | SPIFFE-ID] [--peers] [-o table|json|yaml]")
      .positional("subject", {
        type: "string",
        describe: "Only this pod (NAMESPACE/POD), or this identity (spiffe://…)",
      })
      .option("peers", {
        type: "boolean",
        default: false,
        describe: "List the enrolled pods elsewhere, too",
      })
      .option("socket", SOCKET_OPTION)
      .option("output", OUTPUT_OPTION)
      .example("innermesh identity", "certificates, pods, and whom this node trusts")
      .example(
        "innermesh identity shop/cart-0",
        "which rule gave it its identity, or why it lacks one",
      )
      .strict(),
  handler: (args) => runIdentity(args, process.stdout),
};

/**
 * Asks, narrows and prints.
 * @throws Unreachable when there is no node process to ask, WrongUse when there is no such subject
 */
export async function runIdentity(
  { subject, peers, socket, output }: IdentityArguments,
  out: { write(text: string): unknown },
): Promise<void> {
  const whole = await askIdentities(socket, { peers });
  const report = subject === undefined ? whole : narrowReport(whole, subject);
  if (report === undefined) {
    throw new WrongUse(`Cannot find ${subject ?? ""} on node ${whole.node}: no pod, no identity`);
  }
  out.write(formatOutput(output, report, () => formatIdentities(report)));
}
