// `innermesh explain`: why a Service, or an address, is served the way it is on one node.

import type { CommandModule } from "yargs";
import { openNetlinkKernel } from "../lib/nft/kernel.ts";
import { type Family, NftError, type TableContents } from "../lib/nft/objects.ts";
import { TABLE } from "../service-proxy/plan/ruleset.ts";
import { WrongUse } from "./exit.ts";
import {
  type AddressReport,
  explainAddress,
  formatAddressReport,
  parseQuestion,
} from "./explain/address-report.ts";
import { FlowCost } from "./explain/flow-cost.ts";
import type { PlannedNode } from "./explain/planned-node.ts";
import { explainPod, formatPodReport, type PodReport } from "./explain/pod-report.ts";
import { explainService, type ServiceReport } from "./explain/service-report.ts";
import { formatServiceReport } from "./explain/service-text.ts";
import { FLAGS_POSITIONAL, NODE_OPTION, OUTPUT_OPTION, withNode } from "./options.ts";
import { formatOutput, type OutputFormat } from "./output.ts";
import { type Snapshot, takeSnapshot } from "./snapshot.ts";
import { isThisMachine } from "./this-machine.ts";

interface ExplainArguments {
  readonly kind: keyof typeof EXPLAINERS;
  readonly name: string;
  readonly node: string | undefined;
  readonly output: OutputFormat;
  readonly flags: readonly string[];
}

export const explainCommand: CommandModule<object, ExplainArguments> = {
  command: "explain <kind> <name> [flags..]",
  describe: "Say how a node serves a Service, an address or a pod, and why so",
  builder: (yargs) =>
    yargs
      .usage("innermesh explain service NAMESPACE/NAME [--node NODE] [flags of innermesh node]")
      .usage("innermesh explain address ADDRESS[:PORT] [--node NODE]")
      .usage("innermesh explain pod NAMESPACE/NAME [--node NODE]")
      .positional("kind", {
        choices: ["service", "svc", "address", "pod"] as const,
        demandOption: true,
        describe: "What to explain",
      })
      .positional("name", {
        type: "string",
        demandOption: true,
        describe: "NAMESPACE/NAME of a Service or pod, or ADDRESS[:PORT]",
      })
      .option("node", NODE_OPTION)
      .option("output", OUTPUT_OPTION)
      .positional("flags", FLAGS_POSITIONAL)
      .example(
        "innermesh explain service default/web --source dir:examples/services --node node-1",
        "lane, entry points, and each endpoint with the reason why it is or is not used",
      )
      .example("innermesh explain address 10.96.0.10:53", "which Service owns it")
      .example(
        "innermesh explain pod shop/cart-0 --identity=off",
        "its identity, and which label gave it; with the agent's own --identity",
      ),
  handler: async ({ kind, name, node, output, flags }) => {
    const explain = EXPLAINERS[kind](name);
    const planned = await withKernel(await takeSnapshot(withNode(flags, node)));
    const { report, text } = await explain(planned);
    process.stdout.write(formatOutput(output, report, text));
  },
};

type Explainer = (node: PlannedNode) => Promise<{
  readonly report: ServiceReport | AddressReport | PodReport;
  readonly text: () => string;
}>;

function serviceExplainer(name: string): Explainer {
  const key = name.includes("/") ? name : `default/${name}`;
  return async (node) => {
    const report = explainService(node, await FlowCost.of(node), key);
    if (report === undefined) {
      throw new WrongUse(
        `Cannot find Service "${key}" among those that a node serves: there is none, ` +
          "it is headless or of type ExternalName, or it names another service-proxy",
      );
    }
    return { report, text: () => formatServiceReport(report) };
  };
}

function addressExplainer(text: string): Explainer {
  const question = parseQuestion(text);
  if (question === undefined) {
    throw new WrongUse(`Cannot read address "${text}": write ADDRESS, ADDRESS:PORT or [IPV6]:PORT`);
  }
  return async (node) => {
    const report = explainAddress(node, question);
    return { report, text: () => formatAddressReport(report) };
  };
}

function podExplainer(name: string): Explainer {
  const key = name.includes("/") ? name : `default/${name}`;
  return (node) => {
    const report = explainPod(node, key);
    if (report === undefined) throw new WrongUse(`Cannot find Pod "${key}" in the source`);
    return Promise.resolve({ report, text: () => formatPodReport(report) });
  };
}

const EXPLAINERS = {
  service: serviceExplainer,
  svc: serviceExplainer,
  address: addressExplainer,
  pod: podExplainer,
} as const;

/** Adds what this machine's kernel holds, when this machine is the node and lets us ask. */
async function withKernel(snapshot: Snapshot): Promise<PlannedNode> {
  if (!(await isThisMachine(snapshot))) return { ...snapshot, kernel: undefined };
  return { ...snapshot, kernel: await readTables(snapshot) };
}

async function readTables({ plan }: Snapshot): Promise<PlannedNode["kernel"]> {
  const tables = new Map<Family, TableContents>();
  try {
    const kernel = await openNetlinkKernel({ thread: "here" });
    try {
      for (const { options } of plan.families) {
        const contents = await kernel.read(options.family, TABLE);
        if (contents !== undefined) tables.set(options.family, contents);
      }
    } finally {
      await kernel.close();
    }
  } catch (error) {
    // Without the privilege, the plan alone is told.
    if (!(error instanceof NftError)) throw error;
  }
  return tables.size === 0 ? undefined : tables;
}
