// `innermesh conformance`: the verb as yargs takes it. What it does is loaded when it runs, for
// the client library alone takes half a second to load.

import { hostname } from "node:os";
import type { Argv, CommandModule } from "yargs";

import { systemClock } from "../lib/clock/system-clock.ts";
import { parseAddress } from "../lib/ip/address.ts";
import { agentPorts } from "./agent-identity.ts";
import { reportFormats } from "./report.ts";

const runCommand: CommandModule<object, RunArguments> = {
  command: "run <suite>",
  describe: "Judge the cluster's Service proxy, whichever it is, by a suite: services",
  builder: runOptions,
  handler: run,
};

const agentCommand: CommandModule<object, AgentArguments> = {
  command: "agent",
  describe: "Serve echoes and probe on request: what a run places in pods and on nodes",
  builder: agentOptions,
  handler: agent,
};

export const conformanceCommand: CommandModule = {
  command: "conformance",
  describe: "Check that a live cluster's Services do what Kubernetes promises",
  builder: (yargs) =>
    yargs.command(runCommand).command(agentCommand).demandCommand(1, "Name what to do: run"),
  handler: () => {},
};

type RunArguments = ReturnType<typeof runOptions> extends Argv<infer Values> ? Values : never;
type AgentArguments = ReturnType<typeof agentOptions> extends Argv<infer Values> ? Values : never;

function runOptions(yargs: Argv) {
  return yargs
    .positional("suite", { type: "string", demandOption: true, describe: "Which suite" })
    .option("kubeconfig", { type: "string", describe: "Kubeconfig file; default as kubectl's" })
    .option("context", { type: "string", describe: "Context in it" })
    .option("namespace", {
      type: "string",
      default: "innermesh-conformance",
      describe: "Where agents and Services go; made and removed unless it exists",
    })
    .option("test", {
      type: "string",
      array: true,
      default: [],
      describe: "Only cases whose id matches this regular expression; with ! only others",
    })
    .option("output", { alias: "o", choices: reportFormats, default: "table" as const })
    .option("timeout", {
      type: "number",
      default: 30,
      describe: "Seconds for each claim to come true",
    })
    .option("retries", { type: "number", default: 1, describe: "Attempts after a failed one" })
    .option("parallel", { type: "number", default: 4, describe: "Cases at a time" })
    .option("keep", {
      type: "boolean",
      default: false,
      describe: "Leave all objects in the cluster, to look at what failed",
    })
    .option("image", {
      type: "string",
      describe: "Image with innermesh in it; default the innermesh-node DaemonSet's",
    })
    .option("agents", {
      type: "string",
      describe: "JSON file of agents that run already, for clusters without containers",
    })
    .example("$0 conformance run services", "Run everything")
    .example("$0 conformance run services --test '^cluster-ip' --test '!udp'", "Run a few")
    .example("$0 conformance run services -o junit > services.xml", "For CI");
}

function agentOptions(yargs: Argv) {
  const env = process.env;
  return yargs
    .option("control", { type: "string", demandOption: true, describe: "Path of its Unix socket" })
    .option("relay", {
      type: "boolean",
      default: false,
      describe: "Join standard input and output to the socket of a running agent",
    })
    .option("place", { choices: ["pod", "host", "outside"] as const, default: "pod" as const })
    .option("name", { type: "string", default: env["AGENT_NAME"] ?? hostname() })
    .option("node", { type: "string", default: env["AGENT_NODE"] ?? hostname() })
    .option("addresses", {
      type: "string",
      default: env["AGENT_ADDRESSES"] ?? "",
      describe: "Its own addresses, with commas between them",
    });
}

async function run(argv: RunArguments): Promise<void> {
  const { runSuite } = await import("./run-suite.ts");
  const { suite, kubeconfig, context, image, agents } = argv;
  process.exitCode = await runSuite(
    {
      suite,
      namespace: argv.namespace,
      patterns: argv.test,
      format: argv.output,
      limitMs: argv.timeout * 1_000,
      retries: argv.retries,
      parallel: argv.parallel,
      keep: argv.keep,
      clock: systemClock,
      write: (text) => void process.stdout.write(text),
      onProgress: (line) => void process.stderr.write(`${line}\n`),
      ...(kubeconfig !== undefined && { kubeconfig }),
      ...(context !== undefined && { context }),
      ...(image !== undefined && { image }),
      ...(agents !== undefined && { agentsFile: agents }),
    },
    interrupted("Interrupted: cleaning up. Once more leaves everything as it is."),
  );
}

async function agent(argv: AgentArguments): Promise<void> {
  const { relayControl, runAgent } = await import("./agent.ts");
  const { control, name, node, place, addresses } = argv;
  if (argv.relay) return relayControl(control, process.stdin, process.stdout);
  const known = addresses.split(",").map((text) => parseAddress(text.trim()));
  const options = {
    name,
    node,
    place,
    addresses: known.filter((address) => address !== undefined),
    ports: agentPorts[place],
    controlPath: control,
  };
  const signal = interrupted(`Agent "${name}" ends`);
  await runAgent(options, signal, () => process.stderr.write(`Agent "${name}" listens\n`));
}

/** Aborts at the first SIGINT or SIGTERM; a second one ends the process. */
function interrupted(message: string): AbortSignal {
  const controller = new AbortController();
  const end = (): void => {
    if (controller.signal.aborted) process.exit(1);
    process.stderr.write(`${message}\n`);
    controller.abort();
  };
  process.on("SIGINT", end).on("SIGTERM", end);
  return controller.signal;
}
