// Every verb but `node`, as yargs knows them: help, completion, spelling.

import yargs from "yargs";
import { conformanceCommand } from "../conformance/command.ts";
import { canCommand } from "./can.ts";
import { checkCommand } from "./check.ts";
import { controllerCommand } from "./controller.ts";
import { demoCommand } from "./demo.ts";
import { WrongUse } from "./exit.ts";
import { explainCommand } from "./explain.ts";
import { identityCommand } from "./identity.ts";
import { planCommand } from "./plan.ts";
import { policyCommand } from "./policy.ts";
import { tapCommand } from "./tap.ts";
import { topCommand } from "./top.ts";
import { traceCommand } from "./trace.ts";
import { versionCommand } from "./version.ts";
import { whyCommand } from "./why.ts";

const NODE_HELP = "Replace kube-proxy on this node; takes kube-proxy's flags (node --help)";

/** @returns the exit code */
export async function runVerbs(argv: readonly string[]): Promise<number> {
  process.exitCode = 0;
  await yargs([...argv])
    .scriptName("innermesh")
    .usage("$0 VERB\n\nCompletes the mesh that Kubernetes already has inside.")
    .parserConfiguration({ "unknown-options-as-args": true, "dot-notation": false })
    .command("node", NODE_HELP)
    .command(controllerCommand)
    .command(planCommand)
    .command(traceCommand)
    .command(explainCommand)
    .command(canCommand)
    .command(checkCommand)
    .command(conformanceCommand)
    .command(topCommand)
    .command(tapCommand)
    .command(identityCommand)
    .command(policyCommand)
    .command(whyCommand)
    .command(demoCommand)
    .command(versionCommand)
    .command({
      command: "cleanup",
      describe: "Take away what Innermesh left in this node's kernel",
      handler: async () => {
        const { cleanUp } = await import("./cleanup.ts");
        process.exitCode = await cleanUp(process.stdout);
      },
    })
    .completion("completion", "Print a completion script for your shell")
    .recommendCommands()
    .demandCommand(1, "Say what to do: one of the verbs above.")
    .strictCommands()
    .version(false)
    .help()
    .wrap(100)
    .fail((message, error) => {
      throw error ?? new WrongUse(`${message ?? "wrong use"}\nSee innermesh --help`);
    })
    .parseAsync();
  return Number(process.exitCode ?? 0);
}
