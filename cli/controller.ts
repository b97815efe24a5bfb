// `innermesh controller`: the command line of the Deployment's process.

import type { CommandModule, InferredOptionTypes } from "yargs";
import { isTrustDomain } from "../lib/x509/spiffe-id.ts";
import { LEAF_LIFETIME } from "../netpol-identity/ca/authority.ts";
import { type CaSettings, DEFAULT_CA_SETTINGS } from "../netpol-identity/ca/ca-settings.ts";
import { CONTROLLER_FLAGS } from "../roles/controller-flags.ts";
import { parseGoDuration } from "../service-proxy/config/duration.ts";
import { parseHostPort } from "../service-proxy/config/host-port.ts";
import { WrongUse } from "./exit.ts";

type ControllerArguments = InferredOptionTypes<typeof CONTROLLER_FLAGS> & {
  readonly rest: readonly string[];
};

const METRICS_PORT = 15_014;
const IDENTITY_MODES: readonly string[] = ["none", "off", "permissive", "strict"];

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
      ...authority(given),
      ...metricsAddress(given["metrics-bind-address"]),
    });
  },
};

/** The authority's settings; none where nobody has an identity. */
function authority(given: ControllerArguments): { readonly authority?: CaSettings } {
  const { identity, "trust-domain": trustDomain, "root-generation": rootGeneration } = given;
  if (!IDENTITY_MODES.includes(identity)) {
    throw new WrongUse(`Cannot take --identity "${identity}": want ${IDENTITY_MODES.join(", ")}`);
  }
  if (identity === "none") return {};
  if (!isTrustDomain(trustDomain)) {
    const want = "want lower-case letters, digits, dots and dashes";
    throw new WrongUse(`Cannot take --trust-domain "${trustDomain}": ${want}`);
  }
  if (!Number.isInteger(rootGeneration) || rootGeneration < 0) {
    throw new WrongUse("Cannot take --root-generation: want a whole number");
  }
  const listen = parseHostPort(given["ca-bind-address"]);
  if (listen === undefined) {
    const text = given["ca-bind-address"];
    throw new WrongUse(`Cannot take --ca-bind-address "${text}": want address:port`);
  }
  const { leastMs, mostMs } = LEAF_LIFETIME;
  const lifetimes = { leastMs, mostMs, want: "10m to 168h" };
  const spreads = { leastMs: 0, mostMs, want: "0s to 168h" };
  return {
    authority: {
      ...DEFAULT_CA_SETTINGS,
      trustDomain,
      namespace: given["leader-election-namespace"],
      listen: { ...DEFAULT_CA_SETTINGS.listen, ...listen },
      callers: given["ca-callers"].split(","),
      audiences: given["ca-audiences"].split(","),
      leafLifetimeMs: duration(given, "certificate-lifetime", lifetimes),
      rootGeneration,
      ...(given["ca-directory"] !== undefined && { suppliedDirectory: given["ca-directory"] }),
      spreadMs: duration(given, "root-spread", spreads),
    },
  };
}

function duration(
  given: ControllerArguments,
  flag: "certificate-lifetime" | "root-spread",
  range: { readonly leastMs: number; readonly mostMs: number; readonly want: string },
): number {
  const durationMs = parseGoDuration(given[flag]);
  if (durationMs !== undefined && durationMs >= range.leastMs && durationMs <= range.mostMs) {
    return durationMs;
  }
  throw new WrongUse(`Cannot take --${flag} "${given[flag]}": want ${range.want}`);
}

function metricsAddress(text: string) {
  if (text === "") return {};
  const address = parseHostPort(text);
  if (address === undefined) {
    const want = "want address:port, such as 0.0.0.0:15014";
    throw new WrongUse(`Cannot take --metrics-bind-address "${text}": ${want}`);
  }
  return { metricsAddress: { port: METRICS_PORT, ...address } };
}
