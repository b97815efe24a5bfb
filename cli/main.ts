// The command line: one verb a file. The node role takes kube-proxy's flags as they are, so it is
// dispatched before yargs looks, and loads nothing of the other verbs.

import { Unreachable, WrongUse } from "./exit.ts";

async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === "node") {
    const { runNode } = await import("../roles/node.ts");
    return runNode(rest);
  }
  const { runVerbs } = await import("./verbs.ts");
  return runVerbs(argv);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`innermesh: ${message}\n`);
  process.exitCode = error instanceof WrongUse ? 2 : error instanceof Unreachable ? 3 : 1;
}
