// `innermesh demo`: the guided tour, on this machine alone.

import type { CommandModule } from "yargs";
import { Unreachable } from "./exit.ts";

export const demoCommand: CommandModule = {
  command: "demo",
  describe: "Show what Innermesh does, on two nodes made of network namespaces (needs root)",
  builder: (yargs) =>
    yargs.usage("innermesh demo\n\nBuilds, shows, checks and takes down; nothing else is touched."),
  handler: async () => {
    if (process.getuid?.() !== 0) throw new Unreachable("Cannot run the demo: it needs root");
    const { runDemo } = await import("../playground/demo.ts");
    const stop = new AbortController();
    for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
    process.exitCode = (await runDemo(process.stdout, stop.signal)) === 0 ? 0 : 1;
  },
};
