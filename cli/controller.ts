// `innermesh controller`: the command line of the Deployment's process.

import type { CommandModule, InferredOptionTypes } from "yargs";
import { CONTROLLER_FLAGS } from "../roles/controller-flags.ts";
import { parseHostPort } from "../service-proxy/config/host-port.ts";
import { WrongUse } from "./exit.ts";

type ControllerArguments = InferredOptionTypes<typeof CONTROLLER_FLAGS> & {
  readonly rest: readonly string[];
};

const METRICS_PORT = 15_014;

export const controllerCommand: CommandModule<object, ControllerArguments> = {
  command: "controller [rest..]",
  describe: "Write into routes what becomes of them; runs in a cluster, not on a node",
  builder: (yargs) =>
    yargs
      .usage("innermesh controller [flags]")
      .options(CONTROLLER_FLAGS)
      .positional("rest", { array: true, type: "string", default: [], hidden: true }),
  handler: async (given) => {
    const [unknown] = given.rest;
    if (unknown !== undefined) throw new WrongUse(`Cannot take "${unknown}": no such flag`);
    if (!Number.isInteger(given.v)) throw new WrongUse("Cannot take --v: want a whole number");
    const { runController } = await import("../roles/controller.ts");
    process.exitCode = await runController({
      ...(given.kubeconfig !== undefined && { kubeconfigPath: given.kubeconfig }),
      leaderElect: given["leader-elect"],
      namespace: given["leader-election-namespace"],
      verbosity: given.v,
      ...metricsAddress(given["metrics-bind-address"]),
    });
  },
};

function metricsAddress(text: string) {
  if (text === "") return {};
  const address = parseHostPort(text);
  if (address === undefined) {
    const want = "want address:port, such as 0.0.0.0:15014";
    throw new WrongUse(`Cannot take --metrics-bind-address "${text}": ${want}`);
  }
  return { metricsAddress: { port: METRICS_PORT, ...address } };
}
